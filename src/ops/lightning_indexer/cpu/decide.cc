// What a sample of bounds says about all of them. No -m flags needed.
#include <algorithm>
#include <functional>
#include <limits>

#include "ops/lightning_indexer/cpu/scan.h"

namespace tamis::lightning_indexer {
namespace {

// The rank-th largest, from 1 on.
float Largest(float* values, int64_t count, int64_t rank) {
  float* const at = values + std::clamp<int64_t>(rank, 1, count) - 1;
  std::nth_element(values, at, values + count, std::greater<>());
  return *at;
}

// Of the last that is kept, in a sample of `count` out of `keys`.
int64_t RankIn(int64_t count, int64_t keys, int64_t keep) {
  return std::max<int64_t>(count * keep / keys, 1);
}

}  // namespace

float ShareAlike(float* scores, int64_t count, int64_t keys, int64_t keep) {
  const float least = Largest(scores, count, RankIn(count, keys, keep));
  const auto alike =
      std::count_if(scores, scores + count, [&](float score) { return score >= least; });
  return static_cast<float>(alike) / static_cast<float>(count);
}

float Decide(float* lowers, const float* uppers, int64_t count, int64_t keys, int64_t keep,
             TokenBound* bound) {
  bound->bin_width = 0.0f;
  bound->bins_per_unit = 0.0f;
  bound->floor = -std::numeric_limits<float>::infinity();
  if (keep >= keys || count == 0) return 1.0f;
  const int64_t rank = RankIn(count, keys, keep);
  // Four times the rank is beyond a sample's chances: below it all keys would need scores.
  const int64_t above = std::min(4 * rank + 16, count);
  const float floor = Largest(lowers, count, above);
  const float threshold = Largest(lowers, above, rank);
  const float ceiling = Largest(lowers, rank, rank / 4);
  if (floor > -std::numeric_limits<float>::max()) {
    bound->floor = floor;
    const float width = (ceiling - floor) / static_cast<float>(kBins - 1);
    if (width > std::numeric_limits<float>::min() && width < std::numeric_limits<float>::max()) {
      bound->bin_width = width;
      bound->bins_per_unit = 1.0f / width;
    }
  }
  int64_t candidates = 0;
  for (int64_t i = 0; i < count; ++i) candidates += uppers[i] < threshold ? 0 : 1;
  return static_cast<float>(candidates) / static_cast<float>(count);
}

}  // namespace tamis::lightning_indexer

#include "tools/tamis/demo/mass.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/dtype.h"
#include "parallel/parallel.h"

namespace tamis::tools::demo {
namespace {

using Heads = std::array<double, kGroup>;  // one number per query head of a kv head

// The group's queries as [kKeyDim][kGroup]: the heads lie side by side.
std::vector<Heads> LoadQueries(const uint16_t* query) {
  std::vector<Heads> queries(kKeyDim);
  for (size_t h = 0; h < kGroup; ++h) {
    for (size_t c = 0; c < kKeyDim; ++c)
      queries[c][h] = base::BFloat16ToFloat(query[h * kKeyDim + c]);
  }
  return queries;
}

Heads Scores(const std::vector<Heads>& queries, const uint16_t* key) {
  Heads sums = {};
  for (size_t c = 0; c < kKeyDim; ++c) {
    const double x = base::BFloat16ToFloat(key[c]);
    for (size_t h = 0; h < kGroup; ++h) sums[h] += x * queries[c][h];
  }
  const double scale = ScaleValue();
  for (double& sum : sums) sum *= scale;
  return sums;
}

// One (question, kv head).
void MassOfHead(const Memory& memory, const uint16_t* query, int64_t head, double* mass) {
  const std::vector<Heads> queries = LoadQueries(query);
  std::vector<Heads> scores(static_cast<size_t>(memory.tokens));
  Heads max;
  max.fill(-HUGE_VAL);
  for (int64_t t = 0; t < memory.tokens; ++t) {
    Heads& score = scores[static_cast<size_t>(t)];
    score = Scores(queries, memory.key.data() + (t * kKeyHeads + head) * kKeyDim);
    for (size_t h = 0; h < kGroup; ++h) max[h] = std::max(max[h], score[h]);
  }
  Heads sum = {};
  for (Heads& score : scores) {
    for (size_t h = 0; h < kGroup; ++h) {
      score[h] = std::exp(score[h] - max[h]);
      sum[h] += score[h];
    }
  }
  for (int64_t t = 0; t < memory.tokens; ++t) {
    for (size_t h = 0; h < kGroup; ++h)
      mass[t / kBlock] += scores[static_cast<size_t>(t)][h] / sum[h] / kGroup;
  }
}

}  // namespace

std::vector<double> DenseMass(const Memory& memory, const std::vector<uint16_t>& query,
                              int64_t questions, int32_t threads) {
  const int64_t blocks = (memory.tokens + kBlock - 1) / kBlock;
  std::vector<double> mass(static_cast<size_t>(questions * kKeyHeads * blocks));
  parallel::ForEach({}, threads, questions * kKeyHeads, [&](int64_t item, int32_t) {
    MassOfHead(memory, query.data() + item * kGroup * kKeyDim, item % kKeyHeads,
               mass.data() + item * blocks);
  });
  return mass;
}

}  // namespace tamis::tools::demo

#include "prim/blocks/selector.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <utility>

namespace tamis::prim {
namespace {

// Offered at once; fits where at least keep + kBatch do.
constexpr int64_t kBatch = 32;
// Fewer ranks than this are selected among faster without counting them.
constexpr int64_t kCounted = 512;
constexpr int kBinBits = 12;

// Floats in the order of unsigned integers; NaN below all. Without branches: which of two scores is
// negative, or good enough, cannot be foreseen.
inline uint32_t OrderOf(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  const uint32_t order = bits ^ ((0u - (bits >> 31)) | 0x80000000u);
  return score != score ? 0 : order;
}

inline uint64_t RankOf(uint32_t order, int64_t index) {
  return (static_cast<uint64_t>(order) << 32) | (0xffffffffu - static_cast<uint32_t>(index));
}

inline void MakeRoom(Selector* selector) {
  if (selector->capacity - selector->count < kBatch) Shrink(selector);
}

// Into the next place, where it stays if it is good enough.
inline void OfferRank(Selector* selector, uint64_t rank) {
  selector->ranks[selector->count] = rank;
  selector->count += rank > selector->threshold ? 1 : 0;
}

// What DropBins leaves: ranks[0, better) are among the best for certain, of ranks[better, count)
// the best are.
struct Bins {
  int64_t better;
  int64_t count;
};

// Counts ranks by the highest bits in which they differ, finds the bin in which the last of the
// best lies, drops the bins below, and puts that one behind those above.
Bins DropBins(uint64_t* ranks, int64_t count, int64_t keep) {
  uint64_t all = ~uint64_t{0};
  uint64_t any = 0;
  for (int64_t i = 0; i < count; ++i) {
    all &= ranks[i];
    any |= ranks[i];
  }
  const int shift = std::max(static_cast<int>(std::bit_width(all ^ any)) - kBinBits, 0);
  constexpr uint64_t kMask = (uint64_t{1} << kBinBits) - 1;
  uint32_t bins[kMask + 1] = {};
  for (int64_t i = 0; i < count; ++i) ++bins[(ranks[i] >> shift) & kMask];
  uint64_t bin = kMask;
  for (int64_t seen = bins[bin]; seen < keep; seen += bins[bin]) --bin;
  int64_t kept = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t rank = ranks[i];
    ranks[kept] = rank;
    kept += ((rank >> shift) & kMask) >= bin ? 1 : 0;
  }
  int64_t better = 0;
  for (int64_t i = 0; i < kept; ++i) {
    const uint64_t rank = ranks[i];
    ranks[i] = ranks[better];
    ranks[better] = rank;
    better += ((rank >> shift) & kMask) > bin ? 1 : 0;
  }
  return {better, kept};
}

// Descending, byte by byte from the lowest; bytes in which no two ranks differ cost nothing. With
// std::sort, whose comparisons cannot be foreseen, a prefill over 4096 keys spent a fifth of its
// time on sorting.
void SortByDigits(uint64_t* ranks, uint64_t* spare, int64_t count) {
  constexpr int kDigits = 8;
  uint32_t counts[kDigits][256] = {};
  for (int64_t i = 0; i < count; ++i) {
    for (int d = 0; d < kDigits; ++d) ++counts[d][(ranks[i] >> (8 * d)) & 255];
  }
  uint64_t* from = ranks;
  uint64_t* to = spare;
  for (int d = 0; d < kDigits; ++d) {
    if (counts[d][(ranks[0] >> (8 * d)) & 255] == static_cast<uint64_t>(count)) continue;
    uint32_t places[256];
    uint32_t place = 0;
    for (int digit = 255; digit >= 0; --digit) {
      places[digit] = place;
      place += counts[d][digit];
    }
    for (int64_t i = 0; i < count; ++i) to[places[(from[i] >> (8 * d)) & 255]++] = from[i];
    std::swap(from, to);
  }
  if (from != ranks) std::copy(from, from + count, ranks);
}

}  // namespace

void Offer(Selector* selector, const float* scores, int64_t count, int64_t first) {
  for (int64_t begin = 0; begin < count; begin += kBatch) {
    const int64_t batch = std::min(count - begin, kBatch);
    const auto floor = static_cast<uint32_t>(selector->threshold >> 32);
    uint32_t order[kBatch];
    uint32_t hits = 0;
    for (int64_t i = 0; i < batch; ++i) {
      order[i] = OrderOf(scores[begin + i]);
      hits |= order[i] >= floor ? 1 : 0;
    }
    if (hits == 0) continue;  // most batches of a long row
    MakeRoom(selector);
    for (int64_t i = 0; i < batch; ++i) OfferRank(selector, RankOf(order[i], first + begin + i));
  }
}

void OfferEntries(Selector* selector, const float* scores, const int32_t* indices, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (i % kBatch == 0) MakeRoom(selector);
    if (indices[i] >= 0) OfferRank(selector, RankOf(OrderOf(scores[i]), indices[i]));
  }
}

void OfferRanks(Selector* selector, const uint64_t* ranks, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (i % kBatch == 0) MakeRoom(selector);
    OfferRank(selector, ranks[i]);
  }
}

int64_t Shrink(Selector* selector) {
  const int64_t keep = selector->keep;
  if (selector->count <= keep) return selector->count;
  if (keep == 0) {
    selector->threshold = std::numeric_limits<uint64_t>::max();
    return selector->count = 0;
  }
  uint64_t* const ranks = selector->ranks;
  Bins left = {0, selector->count};
  if (selector->count > kCounted) left = DropBins(ranks, selector->count, keep);
  std::nth_element(ranks + left.better, ranks + keep - 1, ranks + left.count, std::greater<>());
  selector->threshold = ranks[keep - 1];  // the worst that is kept; what equals it is no better
  return selector->count = keep;
}

int64_t Finish(Selector* selector) {
  const int64_t count = Shrink(selector);
  uint64_t* const ranks = selector->ranks;
  if (count > kCounted && 2 * count <= selector->capacity) {
    SortByDigits(ranks, ranks + count, count);
  } else {
    std::sort(ranks, ranks + count, std::greater<>());
  }
  return count;
}

int32_t IndexOfRank(uint64_t rank) {
  return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(rank));
}

float ScoreOfRank(uint64_t rank) {
  const auto order = static_cast<uint32_t>(rank >> 32);
  if (order == 0) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>((order >> 31) != 0 ? order & 0x7fffffffu : ~order);
}

}  // namespace tamis::prim

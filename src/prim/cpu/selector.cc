#include "prim/cpu/selector.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

namespace tamis::prim {
namespace {

// Floats in the order of unsigned integers; NaN below all.
uint32_t OrderOf(float score) {
  if (score != score) return 0;
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

uint64_t RankOf(float score, int64_t index) {
  return (static_cast<uint64_t>(OrderOf(score)) << 32) |
         (0xffffffffu - static_cast<uint32_t>(index));
}

inline void OfferRank(Selector* selector, uint64_t rank) {
  if (rank <= selector->threshold) return;
  if (selector->count == selector->capacity) {
    Shrink(selector);
    if (rank <= selector->threshold) return;
  }
  selector->ranks[selector->count++] = rank;
}

}  // namespace

void Offer(Selector* selector, const float* scores, int64_t count, int64_t first) {
  for (int64_t i = 0; i < count; ++i) OfferRank(selector, RankOf(scores[i], first + i));
}

void OfferEntries(Selector* selector, const float* scores, const int32_t* indices, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] >= 0) OfferRank(selector, RankOf(scores[i], indices[i]));
  }
}

void OfferRanks(Selector* selector, const uint64_t* ranks, int64_t count) {
  for (int64_t i = 0; i < count; ++i) OfferRank(selector, ranks[i]);
}

int64_t Shrink(Selector* selector) {
  if (selector->count <= selector->keep) return selector->count;
  uint64_t* const ranks = selector->ranks;
  std::nth_element(ranks, ranks + selector->keep, ranks + selector->count, std::greater<>());
  // What is dropped is at or below the best dropped one; so is anything that must be dropped later.
  selector->threshold = std::max(selector->threshold, ranks[selector->keep]);
  selector->count = selector->keep;
  return selector->count;
}

int64_t Finish(Selector* selector) {
  const int64_t count = Shrink(selector);
  std::sort(selector->ranks, selector->ranks + count, std::greater<>());
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

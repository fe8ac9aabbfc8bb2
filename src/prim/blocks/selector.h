// Streaming selection of the best of very many scores: a threshold that rises, a buffer of what
// beats it. Compiled once, without -m flags; kernels of every level call it, so no C++ library is
// included here.
#pragma once

#include <stdint.h>

#include "prim/call/scratch.h"

namespace tamis::prim {

/// Keeps the `keep` best of all scores offered: higher first, equal scores (-0 equals +0) by lower
/// index, NaN last. A score and its index make one rank; larger is better, so the result depends on
/// no order. Ranks are equal only where an index is offered twice, and are then kept as often.
struct Selector {
  uint64_t* ranks;   // capacity
  int64_t capacity;  // more than keep
  int64_t keep;
  int64_t count;       // ranks held
  uint64_t threshold;  // ranks at or below it cannot be among the best
};

/// Room for `keep` and three times as many again, so that dropping the others is rare.
static inline int64_t SelectorCapacity(int64_t keep) { return Plus(Times(4, keep), 64); }

static inline Selector MakeSelector(uint64_t* ranks, int64_t keep) {
  return {
      .ranks = ranks, .capacity = SelectorCapacity(keep), .keep = keep, .count = 0, .threshold = 0};
}

/// Offers scores[0, count) of indices first, first + 1, ...
void Offer(Selector* selector, const float* scores, int64_t count, int64_t first);

/// Offers scores[i] of indices[i]; a negative index is no entry.
void OfferEntries(Selector* selector, const float* scores, const int32_t* indices, int64_t count);

/// Offers ranks that another selector kept.
void OfferRanks(Selector* selector, const uint64_t* ranks, int64_t count);

/// Drops all but the best; returns how many there are. Unordered.
int64_t Shrink(Selector* selector);

/// Orders what is kept, best first; returns how many there are.
int64_t Finish(Selector* selector);

/// The parts of a rank.
int32_t IndexOfRank(uint64_t rank);
float ScoreOfRank(uint64_t rank);

}  // namespace tamis::prim

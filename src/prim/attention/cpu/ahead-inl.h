// The copy of a tile of all members into scratch, ahead of its turn.
#pragma once

#include "prim/attention/cpu/rows-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// A few rows at a time, between the products of the tile before: those leave the memory idle, and
// it would leave them waiting. Rows of all heads lie side by side, so memory is read from end to
// end, keys first.
class RowCopy {
 public:
  // Of nothing.
  RowCopy() : members_(nullptr), tile_(nullptr), steps_(0), work_(1), due_(0), at_{}, ahead_{} {
    at_.end = true;
  }
  // `work`: of the products meanwhile, in the units of Step.
  RowCopy(const Item* members, const Tile& tile, int64_t work)
      : members_(members),
        tile_(&tile),
        steps_(2 * ((tile.count + 1) / 2) * members->a.members),
        work_(work),
        due_(0),
        at_{},
        ahead_{} {
    for (int64_t m = 0; m < members->a.members; ++m) fetches_[m] = FetchesOf(members[m], tile);
    for (int64_t step = 0; step < kStepsAhead; ++step) Prefetch();
    for (int64_t m = 0; m < members->a.members; ++m) {
      PadKeys(members[m], tile.count);
      paired_[m] = members[m].int16;
    }
  }

  // Copies what belongs to `work` of the products.
  TAMIS_INLINE void Step(int64_t work) {
    if (at_.end) return;
    due_ += work * steps_;
    for (; due_ >= work_; due_ -= work_) {
      if (at_.end) return;
      Prefetch();
      Copy();
    }
  }
  void Finish() {
    while (!at_.end) Step(work_);
  }
  // Whether a member's values are pairs of integers.
  bool Paired(int64_t member) const { return paired_[member]; }

 private:
  // 16 rows, some 5 KiB: as good as 7 to 12 steps; 4 or 5, or 16 to 40, took 3 to 15% longer.
  static constexpr int64_t kStepsAhead = 8;

  struct Place {
    int64_t key;
    int64_t member;
    bool value;
    bool end;
  };

  TAMIS_INLINE void Advance(Place& place) const {
    if (++place.member < members_->a.members) return;
    place.member = 0;
    place.key += 2;
    if (place.key < tile_->count) return;
    place.key = 0;
    place.end = place.value;
    place.value = true;
  }
  TAMIS_INLINE void Prefetch() {
    if (ahead_.end) return;
    const Fetches& fetches = fetches_[ahead_.member];
    for (int64_t k = ahead_.key; k < ahead_.key + 2; ++k) {
      if (ahead_.value) {
        fetches.Value(k);
      } else {
        fetches.Key(k);
      }
    }
    Advance(ahead_);
  }
  TAMIS_INLINE void Copy() {
    const Item& it = members_[at_.member];
    const int64_t k = at_.key;
    const int64_t end = k + 1 < tile_->count ? k + 2 : k + 1;
    if (!at_.value) {
      for (int64_t i = k; i < end; ++i) LoadKey(it, fetches_[at_.member].from, *tile_, i);
    } else if (it.int16) {
      paired_[at_.member] =
          paired_[at_.member] && PairUpValues(it, fetches_[at_.member].from, *tile_, k);
    } else {
      for (int64_t i = k; i < end; ++i) WidenValue(it, *tile_, i);
    }
    Advance(at_);
  }

  const Item* members_;
  const Tile* tile_;
  int64_t steps_;  // in all, two rows each
  int64_t work_;
  int64_t due_;
  Place at_;
  Place ahead_;
  Fetches fetches_[kMostMembers] = {};
  bool paired_[kMostMembers] = {};
};

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

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
  RowCopy() { at_.end = true; }
  // `work`: of the products meanwhile, in the units of Step.
  RowCopy(const Item* members, const Tile& tile, int64_t work)
      : members_(members),
        tile_(&tile),
        values_(members->int16 || members->loaded),
        steps_((values_ ? 2 : 1) * ((tile.count + 1) / 2) * members->a.members),
        work_(work) {
    for (int64_t m = 0; m < members->a.members; ++m) fetches_[m] = FetchesOf(members[m], tile);
    for (int64_t step = 0; step < kFarAhead; ++step) Prefetch<2>(&far_);
    for (int64_t step = 0; step < kNearAhead; ++step) Prefetch<3>(&near_);
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
      Prefetch<2>(&far_);
      Prefetch<3>(&near_);
      Copy();
    }
  }
  void Finish() {
    while (!at_.end) Step(work_);
  }
  // Whether a member's values are pairs of integers.
  bool Paired(int64_t member) const { return paired_[member]; }

 private:
  // Steps that lines are asked for ahead into L2 and into L1. The first hide memory: L1 waits for
  // fewer lines than are needed on their way, and a call that asks for L1 alone takes 12 to
  // 20% longer (16 to 32 steps are as good, 64 take 4% longer). The second, 16 rows or some 5 KiB,
  // hide L2.
  static constexpr int64_t kFarAhead = 20;
  static constexpr int64_t kNearAhead = 8;

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
    place.end = place.value || !values_;
    place.value = true;
  }
  template <int kHint>
  TAMIS_INLINE void Prefetch(Place* place) const {
    if (place->end) return;
    const Fetches& fetches = fetches_[place->member];
    for (int64_t k = place->key; k < place->key + 2; ++k) {
      if (place->value) {
        fetches.Value<kHint>(k);
      } else {
        fetches.Key<kHint>(k);
      }
    }
    Advance(*place);
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

  const Item* members_ = nullptr;
  const Tile* tile_ = nullptr;
  bool values_ = false;  // are copied, too
  int64_t steps_ = 0;    // in all, two rows each
  int64_t work_ = 1;
  int64_t due_ = 0;
  Place at_ = {};
  Place near_ = {};
  Place far_ = {};
  Fetches fetches_[kMostMembers] = {};
  bool paired_[kMostMembers] = {};
};

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

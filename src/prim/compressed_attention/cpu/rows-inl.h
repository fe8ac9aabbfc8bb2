// Rows of compressed keys and values into scratch, as the products take them.
#pragma once

#include "prim/blocks/int16_values-inl.h"
#include "prim/compressed_attention/cpu/item-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// Rows of the item's head: of key k of the tile, or of the next one from k = kKeyTile on.
TAMIS_INLINE const uint16_t* KeyRow(const Item& it, int64_t k) {
  return it.a.key.data + it.head * it.a.key.head_stride + it.from.key[k];
}
TAMIS_INLINE const uint16_t* ValueRow(const Item& it, int64_t k) {
  return it.a.value.data + it.head * it.a.value.head_stride + it.from.value[k];
}

// A key as columns, the k-th in scratch.
TAMIS_INLINE void LoadKey(const Item& it, const uint16_t* row, int64_t k) {
  Spread(it.a.element, row, it.a.key.dim, it.key + k * it.key_stride);
}

// `width` elements of a value; zeros up to `padded`.
TAMIS_INLINE void LoadValue(const Item& it, const uint16_t* row, int64_t width, int64_t padded,
                            float* to) {
  Widen(it.a.element, row, width, to);
  for (int64_t i = width; i < padded; ++i) to[i] = 0.0f;
}

// Two values (the second may be null) as a pair of integers, the k-th and the one after it in
// scratch. Returns whether they are in range.
TAMIS_INLINE bool PairUpValues(const Item& it, const uint16_t* one, const uint16_t* two,
                               int64_t k) {
  auto* to = reinterpret_cast<int32_t*>(it.value) + k / 2 * it.value_dim;
  return it.a.element == prim::Element::kBFloat16 ? PairValues<BF16>(one, two, it.a.value.dim, to, it.inverse + k)
                       : PairValues<F16>(one, two, it.a.value.dim, to, it.inverse + k);
}

// Zeros from key `count` of the tile up to a whole register tile.
inline void PadKeys(const Item& it, int64_t count) {
  const int64_t columns = ColumnsOf(it.a.key.dim);
  for (int64_t k = count; k % (2 * kTileHeight) != 0; ++k) {
    for (int64_t c = 0; c < columns; ++c) it.key[k * it.key_stride + c] = 0.0f;
  }
}

// How many keys ahead the rows of one head are asked for, some 3 KiB; values are read a strip at a
// time, or whole.
constexpr int64_t kKeysAhead = 8;
constexpr int64_t kStripsAhead = 32;
constexpr int64_t kValuesAhead = 16;
static_assert(kStripsAhead <= kKeyTile);

// Asks for `width` elements of a row: the hardware does not foresee rows that lie a row
// of all heads apart. What is asked for must be used soon: of lines further ahead than some 4 KiB
// little is left in L1, and hints for L2 load nothing on some processors (but the page's entry).
// Inlined by force: gcc 12 takes a function that only prefetches for one without effect and drops
// its calls.
TAMIS_INLINE void PrefetchRow(const uint16_t* row, int64_t width) {
  const char* bytes = reinterpret_cast<const char*>(row);
  for (int64_t byte = 0; byte < 2 * width; byte += 64) __builtin_prefetch(bytes + byte, 0, 3);
}

inline void LoadKeys(const Item& it, int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    PrefetchRow(KeyRow(it, k + kKeysAhead), it.a.key.dim);
    LoadKey(it, KeyRow(it, k), k);
  }
  PadKeys(it, count);
}

// The copy of a tile of all heads into scratch, a few rows at a time, between the products of the
// tile before: those leave the memory idle, and it would leave them waiting. Rows of all heads lie
// side by side, so memory is read from end to end, keys first.
class RowCopy {
 public:
  // Of nothing.
  RowCopy() : heads_(nullptr), count_(0), base_(0), steps_(0), work_(1), due_(0), at_{}, ahead_{} {
    at_.end = true;
  }
  // Of `count` keys, the first of them the `base`-th of the rows that were found. `work`: of the
  // products meanwhile, in the units of Step.
  RowCopy(const Item* heads, int64_t count, int64_t base, int64_t work)
      : heads_(heads),
        count_(count),
        base_(base),
        steps_(2 * ((count + 1) / 2) * heads->a.heads_per_item),
        work_(work),
        due_(0),
        at_{},
        ahead_{} {
    for (int64_t step = 0; step < kStepsAhead; ++step) Prefetch();
    for (int64_t h = 0; h < heads->a.heads_per_item; ++h) {
      PadKeys(heads[h], count);
      paired_[h] = heads[h].int16;
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
  // Whether a head's values are pairs of integers.
  bool Paired(int64_t head) const { return paired_[head]; }

 private:
  // 16 rows, some 5 KiB: as good as 7 to 12 steps; 4 or 5, or 16 to 40, took 3 to 15% longer.
  static constexpr int64_t kStepsAhead = 8;

  struct Place {
    int64_t key;
    int64_t head;
    bool value;
    bool end;
  };

  TAMIS_INLINE void Advance(Place& place) const {
    if (++place.head < heads_->a.heads_per_item) return;
    place.head = 0;
    place.key += 2;
    if (place.key < count_) return;
    place.key = 0;
    place.end = place.value;
    place.value = true;
  }
  TAMIS_INLINE void Prefetch() {
    if (ahead_.end) return;
    const Item& it = heads_[ahead_.head];
    const int64_t k = base_ + ahead_.key;
    if (ahead_.value) {
      PrefetchRow(ValueRow(it, k), it.a.value.dim);
      PrefetchRow(ValueRow(it, k + 1), it.a.value.dim);
    } else {
      PrefetchRow(KeyRow(it, k), it.a.key.dim);
      PrefetchRow(KeyRow(it, k + 1), it.a.key.dim);
    }
    Advance(ahead_);
  }
  TAMIS_INLINE void Copy() {
    const Item& it = heads_[at_.head];
    const int64_t k = at_.key;
    const bool two = k + 1 < count_;
    if (!at_.value) {
      LoadKey(it, KeyRow(it, base_ + k), k);
      if (two) LoadKey(it, KeyRow(it, base_ + k + 1), k + 1);
    } else if (it.int16) {
      paired_[at_.head] =
          paired_[at_.head] &&
          PairUpValues(it, ValueRow(it, base_ + k), two ? ValueRow(it, base_ + k + 1) : nullptr, k);
    } else {
      for (int64_t i = k; i < k + 1 + two; ++i) {
        LoadValue(it, ValueRow(it, base_ + i), it.a.value.dim, it.value_dim,
                  it.value + i * it.value_dim);
      }
    }
    Advance(at_);
  }

  const Item* heads_;
  int64_t count_;
  int64_t base_;
  int64_t steps_;  // in all, two rows each
  int64_t work_;
  int64_t due_;
  Place at_;
  Place ahead_;
  bool paired_[prim::kMostHeadsPerItem] = {};
};

// Asks for the entry of a row's page, unless the row before has it.
TAMIS_INLINE void PrefetchPage(const uint16_t* row, const uint16_t* before) {
  constexpr int kPageBits = 12;
  if ((reinterpret_cast<uintptr_t>(row) ^ reinterpret_cast<uintptr_t>(before)) >> kPageBits != 0)
    __builtin_prefetch(row, 0, 2);
}

// Step `step` of the kKeyTile steps in which the scores of a tile ask for the pages of the next
// one.
TAMIS_INLINE void PrefetchAhead(const Item& it, int64_t step) {
  const int64_t k = kKeyTile + step;
  PrefetchPage(KeyRow(it, k), KeyRow(it, k - 1));
  PrefetchPage(ValueRow(it, k), ValueRow(it, k - 1));
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

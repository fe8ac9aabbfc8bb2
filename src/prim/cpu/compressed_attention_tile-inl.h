// A tile of compressed keys: rows into scratch, scores, softmax, and the weighted sum of values, in
// fp32 or in pairs of 16-bit integers.
#pragma once

#include "prim/cpu/attention_tile-inl.h"
#include "prim/cpu/compressed_attention_item-inl.h"
#include "prim/cpu/int16_values-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// Query row `row` of the item.
TAMIS_INLINE const uint16_t* QueryRow(const Item& it, int64_t row) {
  return it.a.query + it.s.query_offset + (it.token + row / it.a.group) * it.a.query_token_stride +
         (it.head * it.a.group + row % it.a.group) * it.a.query_head_stride;
}

// All lines at once: they come from memory, and a block of lanes x lanes would wait for each line
// in turn. Inlined by force: gcc 12 takes a function that only prefetches for one without effect
// and drops its calls.
TAMIS_INLINE void PrefetchQueries(const Item& it) {
  for (int64_t row = 0; row < it.tokens * it.a.group; ++row) {
    const char* from = reinterpret_cast<const char*>(QueryRow(it, row));
    for (int64_t byte = 0; byte < 2 * it.a.key.dim; byte += 64)
      __builtin_prefetch(from + byte, 0, 3);
  }
}

// Queries of the item as [vector of rows][column][lane]; rows past the last are 0.
inline void PackQueries(const Item& it) {
  const int64_t dim = it.a.key.dim;
  for (int64_t v = 0; v < it.vectors; ++v) {
    const uint16_t* from[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int64_t row = v * kLanes + i;
      from[i] = row < it.tokens * it.a.group ? QueryRow(it, row) : nullptr;
    }
    PackRows(it.a.bfloat16, from, dim, it.query + v * ColumnsOf(dim) * kLanes);
  }
}

inline const uint16_t* RowOf(const Item& it, const KeyView& view, int64_t key) {
  const uint16_t* head = view.data + it.head * view.head_stride;
  if (it.a.page_table == nullptr) return head + (it.s.key_begin + key) * view.row_stride;
  const int64_t page = it.a.page_table[it.s.table_offset + key / it.a.page_size];
  return head + page * view.page_stride + key % it.a.page_size * view.row_stride;
}

// Key `key` as columns, the k-th of its tile.
TAMIS_INLINE void LoadKey(const Item& it, int64_t key, int64_t k) {
  Spread(it.a.bfloat16, RowOf(it, it.a.key, key), it.a.key.dim, it.key + k * it.key_stride);
}

// Zeros from key `count` of the tile up to a whole register tile.
inline void PadKeys(const Item& it, int64_t count) {
  const int64_t columns = ColumnsOf(it.a.key.dim);
  for (int64_t k = count; k % (2 * kTileHeight) != 0; ++k) {
    for (int64_t c = 0; c < columns; ++c) it.key[k * it.key_stride + c] = 0.0f;
  }
}

// Columns [c, c + width) of a key's value; zeros up to `padded`.
TAMIS_INLINE void LoadValue(const Item& it, int64_t key, int64_t c, int64_t width, int64_t padded,
                            float* to) {
  Widen(it.a.bfloat16, RowOf(it, it.a.value, key) + c, width, to);
  for (int64_t i = width; i < padded; ++i) to[i] = 0.0f;
}

// How many keys ahead their rows are asked for: some 3 KiB. All heads' rows lie side by side, and
// one head's values are read a strip at a time.
constexpr int64_t kHeadsKeysAhead = 2;
constexpr int64_t kHeadsValuesAhead = 3;
constexpr int64_t kKeysAhead = 8;
constexpr int64_t kStripsAhead = 32;
constexpr int64_t kValuesAhead = 16;

// Asks for row `key` of a head, from column c on: the hardware does not foresee rows that lie a row
// of all heads apart. What is asked for must be used soon: of lines further ahead than some 4 KiB
// little is left in L1, and hints for L2 load nothing on some processors (but the page's entry).
// Inlined by force: gcc 12 takes a function that only prefetches for one without effect and drops
// its calls.
TAMIS_INLINE void PrefetchRow(const Item& it, const KeyView& view, int64_t key, int64_t c,
                              int64_t width) {
  if (key >= it.s.keys) return;
  const char* row = reinterpret_cast<const char*>(RowOf(it, view, key) + c);
  for (int64_t byte = 0; byte < 2 * width; byte += 64) __builtin_prefetch(row + byte, 0, 3);
}

// Asks for the entry of a row's page.
TAMIS_INLINE void PrefetchPage(const Item& it, const KeyView& view, int64_t key) {
  __builtin_prefetch(RowOf(it, view, key), 0, 2);
}

inline void LoadKeys(const Item& it, int64_t first, int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    PrefetchRow(it, it.a.key, first + k + kKeysAhead, 0, it.a.key.dim);
    LoadKey(it, first + k, k);
  }
  PadKeys(it, count);
}

// Values of keys k and k + 1 of the tile, where there is one more, as pairs of integers. Returns
// whether they are in range.
TAMIS_INLINE bool PairUpValues(const Item& it, int64_t first, int64_t count, int64_t k) {
  const uint16_t* one = RowOf(it, it.a.value, first + k);
  const uint16_t* two = k + 1 < count ? RowOf(it, it.a.value, first + k + 1) : nullptr;
  auto* to = reinterpret_cast<int32_t*>(it.value) + k / 2 * it.value_dim;
  return it.a.bfloat16 ? PairValues<BF16>(one, two, it.a.value.dim, to, it.inverse + k)
                       : PairValues<F16>(one, two, it.a.value.dim, to, it.inverse + k);
}

// Whether values are pairs of integers, per head of an item.
struct Paired {
  bool head[prim::kMostHeadsPerItem];
};

inline Paired PairUpHeads(const Item* heads, int64_t first, int64_t count) {
  const int64_t members = heads->a.heads_per_item;
  Paired paired = {{true, true, true, true}};
  for (int64_t k = 0; k < count; k += 2) {
    for (int64_t h = 0; h < members; ++h) {
      for (int64_t i = 0; i < 2; ++i) {
        PrefetchRow(heads[h], heads->a.value, first + k + i + kHeadsValuesAhead, 0,
                    heads->a.value.dim);
      }
      paired.head[h] = paired.head[h] && PairUpValues(heads[h], first, count, k);
    }
  }
  return paired;
}

// The tile of all heads: rows of all heads lie side by side, so memory is read from end to end.
inline Paired LoadHeads(const Item* heads, int64_t first, int64_t count) {
  const Item& it = *heads;
  const int64_t members = it.a.heads_per_item;
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t h = 0; h < members; ++h) {
      PrefetchRow(heads[h], it.a.key, first + k + kHeadsKeysAhead, 0, it.a.key.dim);
      LoadKey(heads[h], first + k, k);
    }
  }
  for (int64_t h = 0; h < members; ++h) PadKeys(heads[h], count);
  if (it.int16) return PairUpHeads(heads, first, count);
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t h = 0; h < members; ++h) {
      PrefetchRow(heads[h], it.a.value, first + k + kHeadsValuesAhead, 0, it.a.value.dim);
      LoadValue(heads[h], first + k, 0, it.a.value.dim, it.value_dim,
                heads[h].value + k * it.value_dim);
    }
  }
  return {};
}

// Step `step` of the kKeyTile steps in which the scores of a tile ask for the pages of the next
// one.
TAMIS_INLINE void PrefetchAhead(const Item& it, int64_t first, int64_t step) {
  const int64_t key = first + kKeyTile + step;
  if (key >= it.s.keys) return;
  PrefetchPage(it, it.a.key, key);
  PrefetchPage(it, it.a.value, key);
}

// S[kKeys keys][kVectors vectors of rows] = scale K Q, from key k and vector v on. The first
// vectors ask for this tile's values and the next one's keys meanwhile, a few at a time.
template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, int64_t first, int64_t k, int64_t v, float* scores) {
  const int64_t columns = ColumnsOf(it.a.key.dim);
  int64_t ahead = v == 0 && it.member == 0 ? k : k + kKeys;
  const auto prefetch = [&](int64_t c) __attribute__((always_inline)) {
    for (; ahead < k + kKeys && (ahead - k) * columns <= c * kKeys; ++ahead)
      PrefetchAhead(it, first, ahead);
  };
  V sum[kKeys][kVectors];
  ProductTile<kStride>(it.key + k * it.key_stride, it.key_stride, it.query + v * columns * kLanes,
                       columns, sum, prefetch);
  const V scale = Set(it.a.scale);
  for (int i = 0; i < kKeys; ++i) {
    for (int j = 0; j < kVectors; ++j)
      Store(scores + (k + i) * it.rows + (v + j) * kLanes, Mul(sum[i][j], scale));
  }
}

template <int64_t kStride>
inline void ScoreTiles(const Item& it, int64_t first, int64_t count, float* scores) {
  int64_t v = 0;
  for (; v + 2 <= it.vectors; v += 2) {
    for (int64_t k = 0; k < count; k += kTileHeight)
      ScoreTile<kStride, kTileHeight, 2>(it, first, k, v, scores);
  }
  if (v < it.vectors) {
    for (int64_t k = 0; k < count; k += 2 * kTileHeight)
      ScoreTile<kStride, 2 * kTileHeight, 1>(it, first, k, v, scores);
  }
}

inline void Scores(const Item& it, int64_t first, int64_t count, float* scores) {
  switch (it.key_stride) {
    case prim::kNarrowKeyStride:
      return ScoreTiles<prim::kNarrowKeyStride>(it, first, count, scores);
    case prim::kWideKeyStride: return ScoreTiles<prim::kWideKeyStride>(it, first, count, scores);
    default: return ScoreTiles<0>(it, first, count, scores);
  }
}

// Columns [c, c + kVectors kLanes) of the tile's values. Not in scratch yet, they are widened into
// a strip that stays in L1 for all rows.
template <int kVectors>
inline void ValueStrip(const Item& it, int64_t first, int64_t count, int64_t c, const float* e) {
  const float* values = it.value + c;
  int64_t stride = it.value_dim;
  if (!it.loaded || it.int16) {  // integers that are out of range are not in scratch
    values = it.value;
    stride = kVectors * kLanes;
    const int64_t width = it.a.value.dim - c < stride ? it.a.value.dim - c : stride;
    for (int64_t k = 0; k < count; ++k) {
      PrefetchRow(it, it.a.value, first + k + kStripsAhead, c, width);
      LoadValue(it, first + k, c, width, stride, it.value + k * stride);
    }
  }
  const int64_t used = it.tokens * it.a.group;
  for (int64_t r = 0; r < used; r += kTileHeight) {
    ValueTile<kTileHeight, kVectors>(false, e + r, it.rows, values, stride, count, it.alpha + r,
                                     it.out + r * it.value_dim + c, it.value_dim);
  }
}

inline void Values(const Item& it, int64_t first, int64_t count, const float* e) {
  int64_t c = 0;
  for (; c + 2 * kLanes <= it.value_dim; c += 2 * kLanes) ValueStrip<2>(it, first, count, c, e);
  for (; c < it.value_dim; c += kLanes) ValueStrip<1>(it, first, count, c, e);
}

inline bool PairUpHead(const Item& it, int64_t first, int64_t count) {
  bool paired = true;
  for (int64_t k = 0; k < count && paired; k += 2) {
    for (int64_t i = 0; i < 2; ++i)
      PrefetchRow(it, it.a.value, first + k + i + kValuesAhead, 0, it.a.value.dim);
    paired = PairUpValues(it, first, count, k);
  }
  return paired;
}

inline void Int16Values(const Item& it, int64_t count, const float* e) {
  PairWeights(it.vectors, it.rows, count, e, it.inverse, it.weights, it.factor);
  const int64_t used = it.tokens * it.a.group;
  const auto strip = [&](auto vectors, int64_t c) __attribute__((always_inline)) {
    for (int64_t r = 0; r < used; r += kTileHeight) {
      Int16ValueTile<kTileHeight, decltype(vectors)::value>(
          false, it.weights + r, it.rows, reinterpret_cast<const int32_t*>(it.value) + c,
          it.value_dim, (count + 1) / 2, it.alpha + r, it.factor + r, it.out + r * it.value_dim + c,
          it.value_dim);
    }
  };
  int64_t c = 0;
  for (; c + 2 * kLanes <= it.value_dim; c += 2 * kLanes) strip(Vectors<2>(), c);
  for (; c < it.value_dim; c += kLanes) strip(Vectors<1>(), c);
}

inline void MaskedScores(const Item& it, int64_t first, int64_t count, float* scores) {
  Scores(it, first, count, scores);
  HideKeys(it, scores, first, count);
}

inline void Begin(const Item& it) {
  for (int64_t i = 0; i < it.rows; ++i) {
    it.max[i] = kMinusInfinity;
    it.sum[i] = 0.0f;
  }
  for (int64_t i = 0; i < it.rows * it.value_dim; ++i) it.out[i] = 0.0f;
}

inline void AttendTile(const Item& it, int64_t first, int64_t count, bool paired) {
  const int64_t tile = first / kKeyTile;
  float* scores = it.TileScores(tile);
  if (!it.loaded) LoadKeys(it, first, count);
  MaskedScores(it, first, count, scores);
  SoftmaxTile(it.vectors, it.rows, count, scores, it.max, it.sum, it.alpha);
  if (it.keep) {
    for (int64_t i = 0; i < it.rows; ++i) it.tile_max[tile * it.rows + i] = it.max[i];
  }
  if (it.int16 && !it.loaded) paired = PairUpHead(it, first, count);
  if (paired) {
    Int16Values(it, count, scores);
  } else {
    Values(it, first, count, scores);
  }
}

// alpha becomes 1 / sum, or 0 for rows that give zero; the statistics become what the caller sees.
inline void Normalise(const Item& it) {
  for (int64_t row = 0; row < it.tokens * it.a.group; ++row) {
    const bool zero = it.s.keys > 0 && it.hidden[row / it.a.group] != 0 && it.a.zero_masked_rows;
    if (zero) {
      it.max[row] = kLowest;
      it.sum[row] = 0.0f;
    }
    it.alpha[row] = zero || it.s.keys == 0 ? 0.0f : 1.0f / it.sum[row];
    if (it.sum[row] != it.sum[row]) it.max[row] = it.sum[row];  // NaN among the scores
  }
  for (int64_t row = it.tokens * it.a.group; row < it.rows; ++row) it.alpha[row] = 0.0f;
}

inline void WriteRows(const Item& it) {
  for (int64_t row = 0; row < it.tokens * it.a.group; ++row) {
    const int64_t t = it.token + row / it.a.group;
    const int64_t q_head = it.head * it.a.group + row % it.a.group;
    uint16_t* out =
        it.a.out + it.s.out_offset + t * it.a.out_token_stride + q_head * it.a.out_head_stride;
    float* values = it.out + row * it.value_dim;
    if (it.alpha[row] == 0.0f) {  // nothing seen: zero, whatever was summed
      for (int64_t c = 0; c < it.a.value.dim; ++c) values[c] = 0.0f;
    }
    Narrow(it.a.bfloat16, values, it.alpha[row], it.a.value.dim, out);
    if (it.a.max != nullptr)
      it.a.max[it.s.max_offset + t * it.a.max_token_stride + q_head] = it.max[row];
    if (it.a.sum != nullptr)
      it.a.sum[it.s.sum_offset + t * it.a.sum_token_stride + q_head] = it.sum[row];
  }
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// A tile of compressed keys: scores, softmax, and the weighted sum of values, in fp32 or in pairs
// of 16-bit integers.
#pragma once

#include "prim/blocks/attention_tile-inl.h"
#include "prim/compressed_attention/cpu/rows-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// Query row `row` of the item.
TAMIS_INLINE const uint16_t* QueryRow(const Item& it, int64_t row) {
  return it.a.query + it.OffsetOf(it.a.query_at, row / it.a.group) +
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
    const void* from[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int64_t row = v * kLanes + i;
      from[i] = row < it.tokens * it.a.group ? QueryRow(it, row) : nullptr;
    }
    PackRows(it.a.element, from, dim, it.query + v * ColumnsOf(dim) * kLanes);
  }
}

// Products of vectors in a head's tile.
inline int64_t WorkOf(const Item& it, int64_t count) {
  const int64_t scores = ColumnsOf(it.a.key.dim) * it.vectors * count;
  const int64_t values = it.value_dim / kLanes * it.tokens * it.a.group;
  return scores + values * (it.int16 ? (count + 1) / 2 : count);
}

// S[kKeys keys][kVectors vectors of rows] = scale K Q, from key k and vector v on. The first
// vectors ask for the pages of the next tile's rows meanwhile, a few at a time.
template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, int64_t k, int64_t v, float* scores, RowCopy* copy) {
  const int64_t columns = ColumnsOf(it.a.key.dim);
  int64_t ahead = v == 0 && it.member == 0 ? k : k + kKeys;
  const auto prefetch = [&](int64_t c) __attribute__((always_inline)) {
    for (; ahead < k + kKeys && (ahead - k) * columns <= c * kKeys; ++ahead)
      PrefetchAhead(it, ahead);
    copy->Step(kColumnsBetween * kKeys * kVectors);
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
inline void ScoreTiles(const Item& it, int64_t count, float* scores, RowCopy* copy) {
  ForTiles(
      count, it.vectors,
      [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
        ScoreTile<kStride, decltype(height)::value, decltype(width)::value>(it, k, v, scores, copy);
      });
}

inline void Scores(const Item& it, int64_t count, float* scores, RowCopy* copy) {
  switch (it.key_stride) {
    case prim::kNarrowKeyStride: return ScoreTiles<prim::kNarrowKeyStride>(it, count, scores, copy);
    case prim::kWideKeyStride: return ScoreTiles<prim::kWideKeyStride>(it, count, scores, copy);
    default: return ScoreTiles<0>(it, count, scores, copy);
  }
}

// Columns [c, c + kVectors kLanes) of the tile's values. Not in scratch yet, they are widened into
// a strip that stays in L1 for all rows.
template <int kVectors>
inline void ValueStrip(const Item& it, int64_t count, int64_t c, const float* e, RowCopy* copy) {
  const float* values = it.value + c;
  int64_t stride = it.value_dim;
  if (!it.loaded || it.int16) {  // integers that are out of range are not in scratch
    values = it.value;
    stride = kVectors * kLanes;
    const int64_t width = it.a.value.dim - c < stride ? it.a.value.dim - c : stride;
    for (int64_t k = 0; k < count; ++k) {
      PrefetchRow(ValueRow(it, k + kStripsAhead) + c, width);
      LoadValue(it, ValueRow(it, k) + c, width, stride, it.value + k * stride);
    }
  }
  const int64_t used = it.tokens * it.a.group;
  for (int64_t r = 0; r < used; r += kTileHeight) {
    ValueTile<kTileHeight, kVectors>(false, e + r, it.rows, values, stride, count, it.alpha + r,
                                     it.out + r * it.value_dim + c, it.value_dim);
    copy->Step(count * kTileHeight * kVectors);
  }
}

inline void Values(const Item& it, int64_t count, const float* e, RowCopy* copy) {
  ForWidths(
      it.value_dim / kLanes, [&](auto width, int64_t v) __attribute__((always_inline)) {
        ValueStrip<decltype(width)::value>(it, count, v * kLanes, e, copy);
      });
}

inline bool PairUpHead(const Item& it, int64_t count) {
  bool paired = true;
  for (int64_t k = 0; k < count && paired; k += 2) {
    for (int64_t i = 0; i < 2; ++i) PrefetchRow(ValueRow(it, k + i + kValuesAhead), it.a.value.dim);
    paired = PairUpValues(it, ValueRow(it, k), k + 1 < count ? ValueRow(it, k + 1) : nullptr, k);
  }
  return paired;
}

inline void Int16Values(const Item& it, int64_t count, const float* e, RowCopy* copy) {
  WeightRange range = {it.inverse, it.factor};
  for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
    range.Begin();
    for (int64_t k = 0; k < count; ++k) range.Take(k, Load(e + k * it.rows + v));
    range.End(v);
  }
  PairWeights(it.vectors, it.rows, count, e, it.inverse, it.factor, it.weights);
  const int64_t used = it.tokens * it.a.group;
  const int64_t key_pairs = (count + 1) / 2;
  ForWidths(
      it.value_dim / kLanes, [&](auto width, int64_t v) __attribute__((always_inline)) {
        constexpr int kWidth = decltype(width)::value;
        for (int64_t r = 0; r < used; r += kTileHeight) {
          Int16ValueTile<kTileHeight, kWidth>(
              false, it.weights + r, it.rows,
              reinterpret_cast<const int32_t*>(it.value) + v * kLanes, it.value_dim, key_pairs,
              it.alpha + r, it.factor + r, it.out + r * it.value_dim + v * kLanes, it.value_dim);
          copy->Step(key_pairs * kTileHeight * kWidth);
        }
      });
}

inline void MaskedScores(const Item& it, int64_t first, int64_t count, float* scores,
                         RowCopy* copy) {
  Scores(it, count, scores, copy);
  HideKeys(it, scores, first, count);
}

inline void Begin(const Item& it) {
  for (int64_t i = 0; i < it.rows; ++i) {
    it.max[i] = kMinusInfinity;
    it.sum[i] = 0.0f;
  }
  for (int64_t i = 0; i < it.rows * it.value_dim; ++i) it.out[i] = 0.0f;
}

inline void AttendTile(const Item& it, int64_t first, int64_t count, bool paired, RowCopy* copy) {
  const int64_t tile = first / kKeyTile;
  float* scores = it.TileScores(tile);
  if (!it.loaded) LoadKeys(it, count);
  MaskedScores(it, first, count, scores, copy);
  SoftmaxTile(it.vectors, it.rows, count, scores, it.max, it.sum, it.alpha);
  if (it.keep) {
    for (int64_t i = 0; i < it.rows; ++i) it.tile_max[tile * it.rows + i] = it.max[i];
  }
  if (it.int16 && !it.loaded) paired = PairUpHead(it, count);
  if (paired) {
    Int16Values(it, count, scores, copy);
  } else {
    Values(it, count, scores, copy);
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
    const int64_t t = row / it.a.group;
    const int64_t q_head = it.head * it.a.group + row % it.a.group;
    uint16_t* out = it.a.out + it.OffsetOf(it.a.out_at, t) + q_head * it.a.out_head_stride;
    float* values = it.out + row * it.value_dim;
    if (it.alpha[row] == 0.0f) {  // nothing seen: zero, whatever was summed
      for (int64_t c = 0; c < it.a.value.dim; ++c) values[c] = 0.0f;
    }
    Narrow(it.a.element, values, it.alpha[row], it.a.value.dim, out);
    if (it.a.max != nullptr) it.a.max[it.OffsetOf(it.a.max_at, t) + q_head] = it.max[row];
    if (it.a.sum != nullptr) it.a.sum[it.OffsetOf(it.a.sum_at, t) + q_head] = it.sum[row];
  }
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

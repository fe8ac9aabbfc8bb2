// A tile of keys: scores, softmax, and the weighted sum of values, in fp32 or in 16-bit integers.
#pragma once

#include "prim/attention/cpu/ahead-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// --- scores

// Products of vectors in a member's tile.
inline int64_t WorkOf(const Item& it, int64_t count) {
  const int64_t scores = it.columns * it.vectors * count;
  const int64_t values = it.at.out_stride / kLanes * it.rows;
  return scores + values * (it.int16 ? (count + 1) / 2 : count);
}

// S[kKeys keys][kVectors vectors of rows] = scale K Q, from key k and vector v on.
template <bool kCopies, int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, int64_t k, int64_t v, float* scores, RowCopy* copy) {
  const float* key = it.key + k * it.at.key_stride;
  const float* query = it.query + v * it.columns * kLanes;
  V sum[kKeys][kVectors];
  if constexpr (kCopies) {
    const auto step = [&](int64_t) __attribute__((always_inline)) {
      copy->Step(kColumnsBetween * kKeys * kVectors);
    };
    ProductTile<kStride>(key, it.at.key_stride, query, it.columns, sum, step);
  } else {
    ProductTile<kStride>(key, it.at.key_stride, query, it.columns, sum);
  }
  const V scale = Set(it.a.scale);
  for (int i = 0; i < kKeys; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      Store(scores + (k + i) * it.at.score_stride + (v + j) * kLanes, Mul(sum[i][j], scale));
    }
  }
}

template <bool kCopies, int64_t kStride>
inline void ScoreTiles(const Item& it, int64_t count, float* scores, RowCopy* copy) {
  ForTiles(
      count, it.vectors,
      [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
        ScoreTile<kCopies, kStride, decltype(height)::value, decltype(width)::value>(it, k, v,
                                                                                     scores, copy);
      });
}

template <bool kCopies>
inline void Scores(const Item& it, int64_t count, float* scores, RowCopy* copy) {
  switch (it.at.key_stride) {
    case prim::kNarrowKeyStride:
      return ScoreTiles<kCopies, prim::kNarrowKeyStride>(it, count, scores, copy);
    case prim::kWideKeyStride:
      return ScoreTiles<kCopies, prim::kWideKeyStride>(it, count, scores, copy);
    default: return ScoreTiles<kCopies, 0>(it, count, scores, copy);
  }
}

// A chunk of all scores at a time: its queries, 12 KB of 32 heads, stay in L1 for all keys.
template <int64_t kStride>
inline void Int16ScoreTiles(const Item& it, int64_t count, float* scores) {
  const int64_t pairs = it.dim_pairs;
  for (int64_t begin = 0; begin < pairs; begin += kChunkDimPairs) {
    const int64_t end = pairs - begin < kChunkDimPairs ? pairs : begin + kChunkDimPairs;
    ForTiles(
        count, it.vectors,
        [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
          // 16 rows whose distance is not known here have more addresses than there are registers.
          constexpr int kKeys = kStride == 0 ? kTileHeight : decltype(height)::value;
          for (int64_t i = k; i < k + decltype(height)::value; i += kKeys) {
            Int16ScoreTile<kStride, kKeys, decltype(width)::value>(
                reinterpret_cast<const int32_t*>(it.key) + i * it.at.key_stride, it.at.key_stride,
                it.int16_query + v * pairs * kLanes, pairs, begin, end,
                it.query_factor + v * kLanes, it.key_step + i,
                scores + i * it.at.score_stride + v * kLanes, it.at.score_stride);
          }
        });
  }
}

inline void Int16Scores(const Item& it, int64_t count, float* scores) {
  switch (it.at.key_stride) {
    case prim::kNarrowKeyStride: return Int16ScoreTiles<prim::kNarrowKeyStride>(it, count, scores);
    case prim::kWideKeyStride: return Int16ScoreTiles<prim::kWideKeyStride>(it, count, scores);
    default: return Int16ScoreTiles<0>(it, count, scores);
  }
}

inline void HideKey(const Item& it, float* scores, int64_t t, int64_t k) {
  float* rows = scores + k * it.at.score_stride + t * it.heads;
  for (int64_t h = 0; h < it.heads; ++h) rows[h] = it.a.hidden_score;
}

// The keys of a tile that token t sees, masks left out.
TAMIS_INLINE Range SeenOfTile(const Item& it, const Tile& tile, int64_t t) {
  const Range& seen = SeenOf(it, tile.source)[t];
  const bool list = it.a.sources[tile.source].list.ids != nullptr;
  return {list ? 0 : seen.begin - tile.begin, seen.end - tile.begin};
}

inline void HideKeys(const Item& it, const Tile& tile, float* scores) {
  const bool masked = it.a.sources[tile.source].hidden != nullptr;
  for (int64_t t = 0; t < it.tokens; ++t) {
    const Range seen = SeenOfTile(it, tile, t);
    for (int64_t k = 0; k < tile.count && k < seen.begin; ++k) HideKey(it, scores, t, k);
    for (int64_t k = seen.end < 0 ? 0 : seen.end; k < tile.count; ++k) HideKey(it, scores, t, k);
    if (!masked) continue;
    const uint8_t* mask = MaskOf(it, t) + tile.begin;
    for (int64_t k = 0; k < tile.count; ++k) {
      uint64_t word = 1;
      if (k + 8 <= tile.count) __builtin_memcpy(&word, mask + k, 8);
      if (word == 0) {  // most words of most masks
        k += 7;
      } else if (mask[k] != 0) {
        HideKey(it, scores, t, k);
      }
    }
  }
}

// Whether token t sees key k of a tile.
inline bool Sees(const Item& it, const Tile& tile, int64_t t, int64_t k) {
  const Range seen = SeenOfTile(it, tile, t);
  if (k < seen.begin || k >= seen.end) return false;
  return it.a.sources[tile.source].hidden == nullptr || MaskOf(it, t)[tile.begin + k] == 0;
}

// --- values

// A value that is not finite and that some tokens of the item do not see would reach their rows as
// 0 * inf or 0 * NaN: such values are set aside, and given to the rows that see them, or average
// all.
struct Aside {
  int64_t count;
  uint8_t key[kMostKeyTile];  // of the tile
};

template <int kVectors>
TAMIS_INLINE bool AllFinite(const float* row) {
  V sum = Zero();
  for (int v = 0; v < kVectors; ++v) sum = Fma(Load(row + v * kLanes), Zero(), sum);
  return AllEqual(sum, Zero());
}

template <int kVectors>
inline void SetAside(const Item& it, const Tile& tile, Aside* aside) {
  for (int64_t k = 0; k < tile.count; ++k) {
    float* value = it.value + k * kVectors * kLanes;
    if (AllFinite<kVectors>(value)) continue;
    aside->key[aside->count++] = static_cast<uint8_t>(k);
    for (int v = 0; v < kVectors; ++v) Store(value + v * kLanes, Zero());
  }
}

// Columns [c, c + kVectors kLanes) of all values.
template <int kVectors>
TAMIS_INLINE void WidenStrip(const Item& it, const Tile& tile, int64_t c) {
  constexpr int64_t kWidth = kVectors * kLanes;
  if (it.a.value_dim - c >= kWidth) {
    WidenParts(it, tile, c, kWidth, kWidth, it.value, kWidth);
  } else {
    WidenParts(it, tile, c, it.a.value_dim - c, kWidth, it.value, kWidth);
  }
}

template <int kVectors>
inline void AddValuesSetAside(const Item& it, const State& state, const Tile& tile, int64_t c,
                              const float* scores, const Aside& aside) {
  WidenStrip<kVectors>(it, tile, c);  // again: where they were, there are zeros
  for (int64_t i = 0; i < aside.count; ++i) {
    const int64_t k = aside.key[i];
    const float* value = it.value + k * kVectors * kLanes;
    for (int64_t row = 0; row < it.rows; ++row) {
      const float weight = scores[k * it.at.score_stride + row];
      if (weight == 0.0f && !Sees(it, tile, row / it.heads, k)) continue;
      const V e = Set(weight);
      float* out = state.out + row * it.at.out_stride + c;
      for (int v = 0; v < kVectors; ++v)
        Store(out + v * kLanes, Fma(e, Load(value + v * kLanes), Load(out + v * kLanes)));
    }
  }
}

// Values of the tile as fp32, `stride` apart.
struct Values {
  const float* data;
  int64_t stride;
  int64_t count;
};

// Rows [row, row + kRows) of columns [c, c + kVectors kLanes).
template <int kRows, int kVectors>
TAMIS_INLINE void ValueRows(const Item& it, const State& state, bool first, const float* scores,
                            const Values& values, int64_t row, int64_t c) {
  ValueTile<kRows, kVectors>(first, scores + row, it.at.score_stride, values.data, values.stride,
                             values.count, it.alpha + row, state.out + row * it.at.out_stride + c,
                             it.at.out_stride);
}

template <int kVectors>
TAMIS_INLINE void RestOfRows(const Item& it, const State& state, bool first, const float* scores,
                             const Values& values, int64_t row, int64_t c) {
  if (kTileHeight > 4 && it.rows - row >= 4) {
    ValueRows<4, kVectors>(it, state, first, scores, values, row, c);
    row += 4;
  }
  if (it.rows - row >= 2) {
    ValueRows<2, kVectors>(it, state, first, scores, values, row, c);
    row += 2;
  }
  if (row < it.rows) ValueRows<1, kVectors>(it, state, first, scores, values, row, c);
}

// Strips of columns that stay in L1 for all rows: of values that are fp32 already, or widened here.
template <int kVectors, bool kWiden>
inline void ValueStrip(const Item& it, const State& state, const Tile& tile, bool first,
                       const float* scores, const Values& whole, int64_t c, RowCopy* copy) {
  constexpr int64_t kWidth = kVectors * kLanes;
  Values values = {whole.data + c, whole.stride, whole.count};
  Aside aside = {};
  if constexpr (kWiden) {
    values = {it.value, kWidth, tile.count};
    WidenStrip<kVectors>(it, tile, c);
    if (!tile.whole) SetAside<kVectors>(it, tile, &aside);
  }
  int64_t row = 0;
  for (; row + kTileHeight <= it.rows; row += kTileHeight) {
    ValueRows<kTileHeight, kVectors>(it, state, first, scores, values, row, c);
    if (copy != nullptr) copy->Step(tile.count * kTileHeight * kVectors);
  }
  if constexpr (kWiden) RestOfRows<kVectors>(it, state, first, scores, values, row, c);
  if (aside.count > 0) AddValuesSetAside<kVectors>(it, state, tile, c, scores, aside);
}

// Rows [row, row + kRows) of all columns: of few rows, sums of many columns fill the registers.
template <int kRows, int kVectors>
inline void FewRows(const Item& it, const State& state, bool first, const float* scores,
                    const Values& values, int64_t row) {
  int64_t c = 0;
  for (; c + kVectors * kLanes <= it.at.out_stride; c += kVectors * kLanes) {
    ValueRows<kRows, kVectors>(it, state, first, scores,
                               {values.data + c, values.stride, values.count}, row, c);
  }
  for (; c < it.a.value_dim; c += kLanes) {
    ValueRows<kRows, 1>(it, state, first, scores, {values.data + c, values.stride, values.count},
                        row, c);
  }
}

// Values that are in scratch whole.
inline void SumWholeValues(const Item& it, const State& state, const Tile& tile, bool first,
                           const float* scores, const Values& values, RowCopy* copy) {
  int64_t row = it.rows / kTileHeight * kTileHeight;
  if (row > 0) {
    ForWidths((it.a.value_dim + kLanes - 1) / kLanes, [&](auto width, int64_t v) __attribute__((
                                                          always_inline)) {
      ValueStrip<decltype(width)::value, false>(it, state, tile, first, scores, values, v * kLanes,
                                                copy);
    });
  }
  if (kTileHeight > 4 && it.rows - row >= 4) {
    FewRows<4, 2>(it, state, first, scores, values, row);
    row += 4;
  }
  if (it.rows - row >= 2) {
    FewRows<2, 4>(it, state, first, scores, values, row);
    row += 2;
  }
  if (row < it.rows) FewRows<1, 8>(it, state, first, scores, values, row);
}

// Not inlined, as Attend: in one function with all else, gcc 12 keeps addresses of the inner loops
// on the stack.
__attribute__((noinline)) void SumValues(const Item& it, const State& state, const Tile& tile,
                                         bool first, const float* scores, RowCopy* copy) {
  const Values values = {it.value, it.at.value_stride, tile.count};
  if (tile.whole) {  // else some may be set aside
    if (it.a.value_in_key && !kBf16Pairs) {
      return SumWholeValues(it, state, tile, first, scores, {it.key, it.at.key_stride, tile.count},
                            copy);
    }
    // Integers that were out of range are not in scratch.
    if (it.loaded) return SumWholeValues(it, state, tile, first, scores, values, copy);
    if (it.rows < kTileHeight && it.at.rows <= prim::attention::kLine) {
      WidenParts(it, tile, 0, it.a.value_dim, it.at.out_stride, it.value, it.at.value_stride);
      return SumWholeValues(it, state, tile, first, scores, values, copy);
    }
  }
  ForWidths((it.a.value_dim + kLanes - 1) / kLanes, [&](auto width,
                                                        int64_t v) __attribute__((always_inline)) {
    ValueStrip<decltype(width)::value, true>(it, state, tile, first, scores, values, v * kLanes,
                                             copy);
  });
}

__attribute__((noinline)) void SumInt16Values(const Item& it, const State& state, bool first,
                                              int64_t count, float* scores, RowCopy* copy) {
  // Where scores are not kept, their weights take their place.
  int32_t* weights = it.a.keep_scores ? it.weights : reinterpret_cast<int32_t*>(scores);
  PairWeights(it.vectors, it.at.score_stride, count, scores, it.inverse, it.factor, weights);
  const int64_t key_pairs = (count + 1) / 2;
  ForWidths((it.a.value_dim + kLanes - 1) / kLanes, [&](auto width,
                                                        int64_t v) __attribute__((always_inline)) {
    constexpr int kWidth = decltype(width)::value;
    const int64_t c = v * kLanes;
    for (int64_t row = 0; row < it.rows; row += kTileHeight) {
      Int16ValueTile<kTileHeight, kWidth>(
          first, weights + row, it.at.score_stride, reinterpret_cast<const int32_t*>(it.value) + c,
          it.at.value_stride, key_pairs, it.alpha + row, it.factor + row,
          state.out + row * it.at.out_stride + c, it.at.out_stride);
      if (copy != nullptr) copy->Step(key_pairs * kTileHeight * kWidth);
    }
  });
}

// How many of the tile's first keys token t needs: all up to the last that it sees.
inline int64_t NeededBy(const Item& it, const Tile& tile, int64_t t) {
  if (SeesNone(it, tile.source, t)) return it.nothing[t] != 0 ? 0 : tile.count;
  const int64_t end = SeenOf(it, tile.source)[t].end - tile.begin;
  const int64_t count = end < 0 ? 0 : end < tile.count ? end : tile.count;
  if (it.a.sources[tile.source].hidden == nullptr) return count;
  return PastLastZero(MaskOf(it, t) + tile.begin, count);
}

// Of token t alone: its rows, and of the tile what it needs.
inline void SumValuesOfToken(const Item& it, const State& state, Tile tile, bool first,
                             const float* scores, int64_t t) {
  const int64_t row = t * it.heads;
  Item one = it;
  one.token += t;
  one.tokens = 1;
  one.rows = it.heads;
  one.seen += t;
  one.alpha += row;
  tile.count = NeededBy(it, tile, t);
  tile.whole = it.a.sources[tile.source].hidden == nullptr;
  SumValues(one, {state.out + row * it.at.out_stride, state.max + row, state.sum + row}, tile,
            first, scores + row, nullptr);
}

// Of a tile whose values are not all in range, and that not every token sees whole: tokens whose
// own keys are get integers, as they do where they are in an item of their own.
__attribute__((noinline)) void SumMixedValues(const Item& it, const State& state, const Tile& tile,
                                              bool first, float* scores) {
  const int64_t count = PairUpFirst(it, tile);
  for (int64_t t = 0; t < it.tokens; ++t) {
    if (NeededBy(it, tile, t) > count) SumValuesOfToken(it, state, tile, first, scores, t);
  }
  PairUpFirst(it, tile);  // again: those took its place
  for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
    WeightRange range = {it.inverse, it.factor};
    range.Begin();
    for (int64_t k = 0; k < count; ++k) range.Take(k, Load(scores + k * it.at.score_stride + v));
    range.End(v);
  }
  int32_t* weights = it.a.keep_scores ? it.weights : reinterpret_cast<int32_t*>(scores);
  PairWeights(it.vectors, it.at.score_stride, count, scores, it.inverse, it.factor, weights);
  for (int64_t row = 0; row < it.rows; ++row) {
    if (NeededBy(it, tile, row / it.heads) > count) continue;
    for (int64_t c = 0; c < it.a.value_dim; c += kLanes) {
      Int16ValueTile<1, 1>(first, weights + row, it.at.score_stride,
                           reinterpret_cast<const int32_t*>(it.value) + c, it.at.value_stride,
                           (count + 1) / 2, it.alpha + row, it.factor + row,
                           state.out + row * it.at.out_stride + c, it.at.out_stride);
    }
  }
}

// --- softmax

TAMIS_INLINE float* ScoresOf(const Item& it, const Tile& tile) {
  return it.scores + (it.a.keep_scores ? tile.begin * it.at.score_stride : 0);
}

// What follows the scores of a tile. `paired`: its values are pairs of integers.
TAMIS_INLINE void AddTile(const Item& it, const State& state, const Tile& tile, bool first,
                          bool paired, RowCopy* copy) {
  float* scores = ScoresOf(it, tile);
  if (!tile.whole) HideKeys(it, tile, scores);
  if (paired) {
    SoftmaxTile(it.vectors, it.at.score_stride, tile.count, scores, state.max, state.sum, it.alpha,
                WeightRange{it.inverse, it.factor});
  } else {
    SoftmaxTile(it.vectors, it.at.score_stride, tile.count, scores, state.max, state.sum, it.alpha);
  }
  if (it.a.selection.wanted) {
    float* max = it.tile_max + tile.begin / it.a.key_tile * it.at.rows;
    for (int64_t i = 0; i < it.at.rows; ++i) max[i] = state.max[i];
  }
  if (paired) {
    SumInt16Values(it, state, first, tile.count, scores, copy);
  } else if (it.int16 && !tile.whole) {
    SumMixedValues(it, state, tile, first, scores);
  } else {
    SumValues(it, state, tile, first, scores, copy);
  }
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

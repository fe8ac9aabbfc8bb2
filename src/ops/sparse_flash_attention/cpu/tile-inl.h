// A tile of keys: scores, and the weighted sum of values, in fp32 or in 16-bit integers.
#pragma once

#include "ops/sparse_flash_attention/cpu/rows-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_attention {

template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, int64_t k, int64_t v) {
  V sum[kKeys][kVectors];
  ProductTile<kStride>(it.key + k * it.at.key_stride, it.at.key_stride,
                       it.query + v * it.columns * kLanes, it.columns, sum);
  const V scale = Set(it.a.scale);
  for (int i = 0; i < kKeys; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      Store(it.scores + (k + i) * it.at.score_stride + (v + j) * kLanes, Mul(sum[i][j], scale));
    }
  }
}

template <int64_t kStride>
inline void ScoreTiles(const Item& it, int64_t count) {
  ForTiles(
      count, it.vectors,
      [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
        ScoreTile<kStride, decltype(height)::value, decltype(width)::value>(it, k, v);
      });
}

inline void Scores(const Item& it, int64_t count) {
  switch (it.at.key_stride) {
    case prim::kNarrowKeyStride: return ScoreTiles<prim::kNarrowKeyStride>(it, count);
    case prim::kWideKeyStride: return ScoreTiles<prim::kWideKeyStride>(it, count);
    default: return ScoreTiles<0>(it, count);
  }
}

// A chunk of all scores at a time: its queries, 12 KB of 32 heads, stay in L1 for all keys.
template <int64_t kStride>
inline void Int16ScoreTiles(const Item& it, int64_t count) {
  for (int64_t begin = 0; begin < it.dim_pairs; begin += kChunkDimPairs) {
    const int64_t end =
        it.dim_pairs - begin < kChunkDimPairs ? it.dim_pairs : begin + kChunkDimPairs;
    ForTiles(
        count, it.vectors,
        [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
          // 16 rows whose distance is not known here have more addresses than there are registers.
          constexpr int kKeys = kStride == 0 ? kTileHeight : decltype(height)::value;
          for (int64_t i = k; i < k + decltype(height)::value; i += kKeys) {
            Int16ScoreTile<kStride, kKeys, decltype(width)::value>(
                reinterpret_cast<const int32_t*>(it.key) + i * it.at.key_stride, it.at.key_stride,
                it.int16_query + v * it.dim_pairs * kLanes, it.dim_pairs, begin, end,
                it.query_factor + v * kLanes, it.key_step + i,
                it.scores + i * it.at.score_stride + v * kLanes, it.at.score_stride);
          }
        });
  }
}

inline void Int16Scores(const Item& it, int64_t count) {
  switch (it.at.key_stride) {
    case prim::kNarrowKeyStride: return Int16ScoreTiles<prim::kNarrowKeyStride>(it, count);
    case prim::kWideKeyStride: return Int16ScoreTiles<prim::kWideKeyStride>(it, count);
    default: return Int16ScoreTiles<0>(it, count);
  }
}

TAMIS_INLINE int64_t VectorsOfValues(const Item& it) {
  return (it.a.latent_dim + kLanes - 1) / kLanes;
}

// Columns of out for the heads [row, row + kRows), kVectors vectors at a time and then one.
template <int kRows, int kVectors>
inline void ValueRows(const Item& it, const State& to, bool first, int64_t count, int64_t row) {
  int64_t c = 0;
  for (; c + kVectors * kLanes <= it.at.value_dim; c += kVectors * kLanes) {
    ValueTile<kRows, kVectors>(first, it.scores + row, it.at.score_stride, it.value + c,
                               it.at.key_stride, count, it.alpha + row,
                               to.out + row * it.at.value_dim + c, it.at.value_dim);
  }
  for (; c < it.a.latent_dim; c += kLanes) {
    ValueTile<kRows, 1>(first, it.scores + row, it.at.score_stride, it.value + c, it.at.key_stride,
                        count, it.alpha + row, to.out + row * it.at.value_dim + c, it.at.value_dim);
  }
}

// Not inlined, as Attend: in one function with all else, gcc 12 keeps addresses of the inner loops
// on the stack.
__attribute__((noinline)) void Values(const Item& it, const State& to, bool first, int64_t count) {
  const int64_t whole = it.heads / kTileHeight * kTileHeight;
  // A strip stays in L1 for all heads.
  ForWidths(
      VectorsOfValues(it), [&](auto width, int64_t v) __attribute__((always_inline)) {
        const int64_t c = v * kLanes;
        for (int64_t row = 0; row < whole; row += kTileHeight) {
          ValueTile<kTileHeight, decltype(width)::value>(
              first, it.scores + row, it.at.score_stride, it.value + c, it.at.key_stride, count,
              it.alpha + row, to.out + row * it.at.value_dim + c, it.at.value_dim);
        }
      });
  int64_t row = whole;
  if (it.heads - row >= 4) {
    ValueRows<4, 2>(it, to, first, count, row);
    row += 4;
  }
  if (it.heads - row >= 2) {
    ValueRows<2, 4>(it, to, first, count, row);
    row += 2;
  }
  if (row < it.heads) ValueRows<1, 8>(it, to, first, count, row);
}

__attribute__((noinline)) void Int16Values(const Item& it, const State& to, bool first,
                                           int64_t count) {
  auto* weights = reinterpret_cast<int32_t*>(it.scores);
  PairWeights(it.vectors, it.at.score_stride, count, it.scores, it.inverse, it.factor, weights);
  const int64_t key_pairs = (count + 1) / 2;
  ForWidths(
      VectorsOfValues(it), [&](auto width, int64_t v) __attribute__((always_inline)) {
        const int64_t c = v * kLanes;
        for (int64_t row = 0; row < it.heads; row += kTileHeight) {
          Int16ValueTile<kTileHeight, decltype(width)::value>(
              first, weights + row, it.at.score_stride, it.int16_value + c, it.at.key_stride,
              key_pairs, it.alpha + row, it.factor + row, to.out + row * it.at.value_dim + c,
              it.at.value_dim);
        }
      });
}

}  // namespace sparse_attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

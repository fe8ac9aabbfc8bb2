// The product that every attention-like kernel is made of: a few keys, broadcast, times vectors of
// query rows.
#pragma once

#include "prim/blocks/columns-inl.h"
#include "prim/blocks/key_stride.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// Keys (or rows) and vectors of a register tile. avx512: 8 x 2 = 16 accumulators; latency 4 x 2
// ports needs 8, and 10 loads for 16 FMAs leave the load ports half idle. avx2 has 16 registers: 12
// accumulators, three vectors and a broadcast; 4 x 2 left causal attention at 68% of the peak
// instead of 73%.
constexpr int kTileHeight = kLanes == 16 ? 8 : 4;
constexpr int kTileWidth = kLanes == 8 ? 3 : 2;

// A count as a type, for generic lambdas.
template <int kCount>
struct Count {
  static constexpr int value = kCount;
};

// Cuts `vectors` into the widths of register tiles: body(Count<width>(), first vector).
template <class Body>
TAMIS_INLINE void ForWidths(int64_t vectors, const Body& body) {
  int64_t v = 0;
  // 4 are 2 and 2: a tile of one vector has too few accumulators.
  for (; v + kTileWidth <= vectors && (kTileWidth == 2 || vectors - v != 4); v += kTileWidth)
    body(Count<kTileWidth>(), v);
  if constexpr (kTileWidth > 2) {
    for (; v + 2 <= vectors; v += 2) body(Count<2>(), v);
  }
  for (; v < vectors; ++v) body(Count<1>(), v);
}

// Cuts keys (whole tiles of them) times vectors into register tiles: body(Count<keys>(),
// Count<vectors>(), first key, first vector).
template <class Body>
TAMIS_INLINE void ForTiles(int64_t keys, int64_t vectors, const Body& body) {
  ForWidths(
      vectors, [&](auto width, int64_t v) __attribute__((always_inline)) {
        constexpr int kHeight = decltype(width)::value == 1 ? 2 * kTileHeight : kTileHeight;
        for (int64_t k = 0; k < keys; k += kHeight) body(Count<kHeight>(), width, k, v);
      });
}

// sum[key][vector] += key . query over columns [begin, end).
template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void AddColumns(const float* key, int64_t key_stride, const float* query,
                             int64_t columns, int64_t begin, int64_t end,
                             V (&sum)[kKeys][kVectors]) {
  const int64_t stride = kStride != 0 ? kStride : key_stride;
  for (int64_t c = begin; c < end; ++c) {
    V q[kVectors];
    for (int v = 0; v < kVectors; ++v) q[v] = Load(query + (v * columns + c) * kLanes);
    for (int k = 0; k < kKeys; ++k) {
      const V broadcast = Set(key[k * stride + c]);
      for (int v = 0; v < kVectors; ++v) sum[k][v] = MultiplyAdd(broadcast, q[v], sum[k][v]);
    }
  }
}

template <int kKeys, int kVectors>
TAMIS_INLINE void Clear(V (&sum)[kKeys][kVectors]) {
  for (int k = 0; k < kKeys; ++k) {
    for (int v = 0; v < kVectors; ++v) sum[k][v] = Zero();
  }
}

// sum[key][vector] = key . query. Keys lie `kStride` columns apart, or `key_stride` where that is
// 0; `query` is the panel [columns][lanes] of the first vector, the next vector's follows it.
template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ProductTile(const float* key, int64_t key_stride, const float* query,
                              int64_t columns, V (&sum)[kKeys][kVectors]) {
  Clear(sum);
  AddColumns<kStride>(key, key_stride, query, columns, 0, columns, sum);
}

constexpr int64_t kColumnsBetween = 16;

// The same, with between(c) before every 16th column c: prefetches that are spread over the product
// do not wait for each other.
template <int64_t kStride, int kKeys, int kVectors, class Between>
TAMIS_INLINE void ProductTile(const float* key, int64_t key_stride, const float* query,
                              int64_t columns, V (&sum)[kKeys][kVectors], const Between& between) {
  Clear(sum);
  for (int64_t c = 0; c < columns; c += kColumnsBetween) {
    between(c);
    AddColumns<kStride>(key, key_stride, query, columns, c,
                        columns - c < kColumnsBetween ? columns : c + kColumnsBetween, sum);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

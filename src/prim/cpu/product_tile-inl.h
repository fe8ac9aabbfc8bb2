// The product that every attention-like kernel is made of: a few keys, broadcast, times vectors of
// query rows.
#pragma once

#include "prim/cpu/columns-inl.h"
#include "prim/cpu/key_stride.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// Keys of a register tile two vectors wide. avx512: 8 x 2 = 16 accumulators; latency 4 x 2 ports
// needs 8, and 10 loads for 16 FMAs leave the load ports half idle. avx2 has 16 registers: 4 x 2.
constexpr int kTileHeight = kLanes == 16 ? 8 : 4;

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

// The same, with between(c) before every 16th column c: prefetches that are spread over the product
// do not wait for each other.
template <int64_t kStride, int kKeys, int kVectors, class Between>
TAMIS_INLINE void ProductTile(const float* key, int64_t key_stride, const float* query,
                              int64_t columns, V (&sum)[kKeys][kVectors], const Between& between) {
  constexpr int64_t kColumns = 16;
  Clear(sum);
  for (int64_t c = 0; c < columns; c += kColumns) {
    between(c);
    AddColumns<kStride>(key, key_stride, query, columns, c,
                        columns - c < kColumns ? columns : c + kColumns, sum);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// The product that every attention-like kernel is made of: a few keys, broadcast, times vectors of
// query rows.
#pragma once

#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// Keys of a register tile two vectors wide. avx512: 8 x 2 = 16 accumulators; latency 4 x 2 ports
// needs 8, and 10 loads for 16 FMAs leave the load ports half idle. avx2 has 16 registers: 4 x 2.
constexpr int kTileHeight = kLanes == 16 ? 8 : 4;

// sum[key][vector] = key . query over `dim` dims. Keys lie `key_stride` floats apart; `query` is
// the panel [dim][lanes] of the first vector, the next vector's follows it.
template <int kKeys, int kVectors>
TAMIS_INLINE void ProductTile(const float* key, int64_t key_stride, const float* query, int64_t dim,
                              V (&sum)[kKeys][kVectors]) {
  for (int k = 0; k < kKeys; ++k) {
    for (int v = 0; v < kVectors; ++v) sum[k][v] = Zero();
  }
  for (int64_t c = 0; c < dim; ++c) {
    V q[kVectors];
    for (int v = 0; v < kVectors; ++v) q[v] = Load(query + (v * dim + c) * kLanes);
    for (int k = 0; k < kKeys; ++k) {
      const V broadcast = Set(key[k * key_stride + c]);
      for (int v = 0; v < kVectors; ++v) sum[k][v] = Fma(broadcast, q[v], sum[k][v]);
    }
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

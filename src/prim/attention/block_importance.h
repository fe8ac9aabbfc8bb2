// Geometry of select blocks over compressed tokens: which compressed token counts how often towards
// which block.
//
// Block j of select_block_size = M * stride tokens scores S[j] = sum_{m < M} sum_{q < Nn} P[M (j +
// 1) - shift - m - q], P being 0 outside [0, n), M = select_block_size / stride, Nn =
// compress_block_size / stride. As a band: compressed token x counts Coefficient(M (j + 1) - shift
// - x) times. The device uses shift 0, so that block j also hears the token whose window begins at
// its end; shift 1 is the true overlap. Plain arithmetic: kernels include this.
#pragma once

#include <stdint.h>

namespace tamis::prim {

// Always inlined: no level's copy of a function may be merged with another's.
struct BlockGeometry {
  int64_t select_strides = 1;    // M
  int64_t compress_strides = 1;  // Nn
  int64_t shift = 0;

  /// Pairs (m, q) with m + q = i.
  __attribute__((always_inline)) int64_t Coefficient(int64_t i) const {
    const int64_t flat = select_strides < compress_strides ? select_strides : compress_strides;
    const int64_t rising = i + 1;
    const int64_t falling = select_strides + compress_strides - 1 - i;
    const int64_t slope = rising < falling ? rising : falling;
    return slope < 0 ? 0 : slope < flat ? slope : flat;
  }
  /// First and last compressed token (inclusive) that block j hears, before clipping to [0, n).
  __attribute__((always_inline)) int64_t LastToken(int64_t j) const {
    return select_strides * (j + 1) - shift;
  }
  __attribute__((always_inline)) int64_t FirstToken(int64_t j) const {
    return LastToken(j) - (select_strides + compress_strides - 2);
  }
};

}  // namespace tamis::prim

// Rows of bytes that hold one token's key: a quantised latent, its scales, a 16-bit rotary part.
//
// latent_dim bytes of q (int8 or fp8 e4m3fn), one fp32 scale per 128 of them, rope_dim 16-bit
// values. 512 and 64 dims make 656 bytes. The two formats differ in the type of q, in how a scale
// is chosen and in the order of what follows q. The latent is round(float(q) * scale) in the
// query's dtype; fp32 is not rounded. Plain arithmetic: kernels include this.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"

namespace tamis::prim {

inline constexpr int64_t kKvRowGroup = 128;            // channels that share a scale
inline constexpr int64_t kMostDim = int64_t{1} << 56;  // tensors span no more bytes
inline constexpr float kLeastInt8Amax = 1e-8f;
inline constexpr float kLeastFp8Scale = 1e-4f;

// Always inlined: no level's copy of a function may be merged with another's.
struct KvRow {
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  bool fp8 = false;           // e4m3fn instead of int8
  bool scales_first = false;  // scales before the rotary part
  Element rope = Element::kBFloat16;

  /// int8 | rope | scales
  static constexpr __attribute__((always_inline)) KvRow Cann(int64_t latent_dim, int64_t rope_dim) {
    return {.latent_dim = latent_dim, .rope_dim = rope_dim, .fp8 = false, .scales_first = false};
  }
  /// fp8 | scales | rope
  static constexpr __attribute__((always_inline)) KvRow FlashMla(int64_t latent_dim,
                                                                 int64_t rope_dim) {
    return {.latent_dim = latent_dim, .rope_dim = rope_dim, .fp8 = true, .scales_first = true};
  }

  /// Of a row, in bytes; INT64_MAX for dims that no memory holds.
  __attribute__((always_inline)) int64_t width() const {
    if (latent_dim > kMostDim || rope_dim > kMostDim) return INT64_MAX;
    return latent_dim + rope_bytes() + scale_bytes();
  }
  __attribute__((always_inline)) int64_t rope_bytes() const { return 2 * rope_dim; }
  __attribute__((always_inline)) int64_t scale_bytes() const {
    return latent_dim / kKvRowGroup * 4;
  }
  __attribute__((always_inline)) int64_t rope_at() const {
    return latent_dim + (scales_first ? scale_bytes() : 0);
  }
  __attribute__((always_inline)) int64_t scales_at() const {
    return latent_dim + (scales_first ? 0 : rope_bytes());
  }
};

}  // namespace tamis::prim

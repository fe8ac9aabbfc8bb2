// Rows of bytes that hold one token's key: a quantised latent, its scales, a 16-bit rotary part.
//
// A byte of q (int8 or fp8 e4m3fn) per channel of the latent, a scale per group of channels, 16-bit
// values for the rotary part. The latent is round(float(q) * scale) in the query's dtype; fp32 is
// not rounded. A format is a value: how q is coded, how many channels share a scale and of what
// type it is, where the scales lie. Plain arithmetic: kernels include this.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"

namespace tamis::prim {

inline constexpr int64_t kMostKvGroup = 128;
inline constexpr int64_t kMostDim = int64_t{1} << 56;  // tensors span no more bytes
inline constexpr float kLeastInt8Amax = 1e-8f;
inline constexpr float kLeastFp8Scale = 1e-4f;

/// e8m0: the exponent of a power of two, 2^(code - 127); 255 is NaN.
enum class KvScale : int32_t { kFloat32, kE8M0 };

// Always inlined: no level's copy of a function may be merged with another's.
struct KvRow {
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  bool fp8 = false;              // e4m3fn instead of int8
  int64_t group = kMostKvGroup;  // channels that share a scale
  KvScale scale = KvScale::kFloat32;
  int64_t padding = 0;        // bytes after the scales, 0 when written
  bool scales_first = false;  // before the rotary part
  bool scales_apart = false;  // of all rows of a page, after its last row
  Element rope = Element::kBFloat16;

  /// int8 | rope | scales
  static constexpr __attribute__((always_inline)) KvRow Cann(int64_t latent_dim, int64_t rope_dim) {
    return {.latent_dim = latent_dim, .rope_dim = rope_dim};
  }
  /// fp8 | scales | rope
  static constexpr __attribute__((always_inline)) KvRow FlashMla(int64_t latent_dim,
                                                                 int64_t rope_dim) {
    return {.latent_dim = latent_dim, .rope_dim = rope_dim, .fp8 = true, .scales_first = true};
  }
  /// fp8 | rope, and after a page of those the scales of its rows
  static constexpr __attribute__((always_inline)) KvRow FlashMlaApart(int64_t latent_dim,
                                                                      int64_t rope_dim) {
    return {.latent_dim = latent_dim,
            .rope_dim = rope_dim,
            .fp8 = true,
            .group = 64,
            .scale = KvScale::kE8M0,
            .padding = 1,
            .scales_apart = true};
  }

  /// Of a key, in bytes; INT64_MAX for dims that no memory holds.
  __attribute__((always_inline)) int64_t width() const {
    if (latent_dim > kMostDim || rope_dim > kMostDim) return INT64_MAX;
    return latent_dim + rope_bytes() + scale_bytes();
  }
  /// From one row of a page to the next.
  __attribute__((always_inline)) int64_t row_bytes() const {
    return width() - (scales_apart ? scale_bytes() : 0);
  }
  __attribute__((always_inline)) int64_t rope_bytes() const { return 2 * rope_dim; }
  __attribute__((always_inline)) int64_t scale_bytes() const {
    return latent_dim / group * (scale == KvScale::kE8M0 ? 1 : 4) + padding;
  }
  __attribute__((always_inline)) int64_t rope_at() const {
    return latent_dim + (scales_first ? scale_bytes() : 0);
  }
  /// Of a row whose scales are in it.
  __attribute__((always_inline)) int64_t scales_at() const {
    return latent_dim + (scales_first ? 0 : rope_bytes());
  }

  /// Row `slot` of a page of `rows`, and its scales, in bytes from the page's first. Rows lie
  /// `stride` apart; where scales do not lie in them, side by side.
  __attribute__((always_inline)) int64_t RowAt(int64_t slot, int64_t stride) const {
    return slot * (scales_apart ? row_bytes() : stride);
  }
  __attribute__((always_inline)) int64_t ScalesAt(int64_t slot, int64_t rows,
                                                  int64_t stride) const {
    return scales_apart ? rows * row_bytes() + slot * scale_bytes() : slot * stride + scales_at();
  }
};

}  // namespace tamis::prim

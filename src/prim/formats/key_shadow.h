// The int8 shadow of index keys: what a scan in integers reads instead of the keys, and what bounds
// its error. Included by files compiled for one level: no C++ library here.
//
// A panel holds 16 keys:
//   [groups of 4 dims][16 keys][4 dims] bytes, the integer of a value plus 128; a key counts as
//     zeros up to a multiple of 64 dims, and of 64 dims group i has i, i + 32, i + 16 and i + 48
//   [16 keys] float32 scale s              key ~ s * integers
//   [16 keys] float32 error e   >= |key - s * integers|
//   [16 keys] float32 norm  n   >= |s * integers|
// little-endian. With m the largest magnitude of a key, in fp32 and in this order of operations,
//   z = nearest integer to x * (32512 / m), ties to even      integer i = (z + 128) >> 8
//   s = m / 127
//   e = (s * (sqrt(sum (z - 256 i)^2) + 0.51 * sqrt(dim))) * kErrorUnit
//   n = (s * sqrt(sum i^2)) * kNormUnit
// Sums are of integers, so every level writes the same bytes. A key with m below 2^-100 has
// integers and s of 0, e = 2^-99 sqrt(dim) and n = 0; one that is not finite, or with m above 2^20,
// e of infinity: nothing is known of its scores. docs/exact-selection.md proves the bounds.
#pragma once

#include <stdint.h>

#include "prim/call/scratch.h"

namespace tamis::prim {

inline constexpr int64_t kShadowKeys = 16;
/// Beyond it a product of integers may not be exact in fp32.
inline constexpr int64_t kShadowMostDims = 1024;

inline constexpr float kShadowLeast = 0x1p-100f;
inline constexpr float kShadowMost = 0x1p20f;
inline constexpr float kErrorUnit = 0x1p-8f * (1.0f + 0x1p-19f);
inline constexpr float kNormUnit = 1.0f + 0x1p-19f;

/// Of one key.
struct ShadowBounds {
  float scale;
  float error;
  float norm;
};

namespace {  // inline functions: no level's copy may be merged with another's

inline int64_t ShadowGroups(int64_t dim) { return RoundedUp(dim, 64) / 4; }
/// The dim of a byte of a group; beyond the key's dims a zero.
inline int64_t ShadowDim(int64_t group, int64_t byte) {
  return group / 16 * 64 + group % 16 + byte % 2 * 32 + byte / 2 * 16;
}
/// Where a panel's scales begin; errors and norms follow.
inline int64_t ShadowScalesAt(int64_t dim) { return Times(kShadowKeys * 4, ShadowGroups(dim)); }
inline int64_t ShadowPanelBytes(int64_t dim) {
  return Plus(ShadowScalesAt(dim), kShadowKeys * static_cast<int64_t>(sizeof(ShadowBounds)));
}
inline int64_t ShadowPanels(int64_t keys) {
  return keys / kShadowKeys + (keys % kShadowKeys != 0 ? 1 : 0);
}

}  // namespace
}  // namespace tamis::prim

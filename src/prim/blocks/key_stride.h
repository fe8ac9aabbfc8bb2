// How far apart the widened keys of a tile lie.
#pragma once

#include <stdint.h>

#include "prim/call/scratch.h"

namespace tamis::prim {

/// Floats from one key to the next where they fit: the documents' dims are 192 and 128, 512 + 64. A
/// stride that is known when a kernel is compiled lets one register address all keys of a tile;
/// with one in a register gcc 12 keeps a pointer for each key, and spills those of a tile of 16: a
/// move for every multiplication.
inline constexpr int64_t kNarrowKeyStride = 208;
inline constexpr int64_t kWideKeyStride = 592;

namespace {  // inline functions: no level's copy may be merged with another's

/// An odd number of cache lines, so that a column of the tile spreads over all sets of the cache.
inline int64_t KeyStrideOf(int64_t dim) {
  if (dim <= kNarrowKeyStride) return kNarrowKeyStride;
  if (dim <= kWideKeyStride) return kWideKeyStride;
  constexpr int64_t kLine = 16;
  return Times(RoundedUp(dim, kLine) / kLine | 1, kLine);
}

}  // namespace

}  // namespace tamis::prim

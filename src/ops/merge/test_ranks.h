// Ranks that share the positions of a sequence, as localize_indices says.
#pragma once

#include <cstdint>

namespace tamis::test {

inline int64_t LocalOf(int64_t position, int64_t world, int64_t interleave) {
  return position / interleave / world * interleave + position % interleave;
}
inline int64_t OwnerOf(int64_t position, int64_t world, int64_t interleave) {
  return position / interleave % world;
}

}  // namespace tamis::test

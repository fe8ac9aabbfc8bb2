// Which of several runs an index falls into.
#pragma once

#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// The last of `count` runs (at least one, beginnings ascending) whose `begin` is at or before
// `index`.
template <class Run>
inline int64_t LastBeginningBy(const Run* runs, int64_t count, int64_t Run::*begin, int64_t index) {
  int64_t low = 0;
  int64_t high = count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (runs[middle].*begin <= index) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// Lays parts of a worker's scratch one after the other, each on a cache line, in floats; notices
// overflow. Included by files compiled for one level: no C++ library here.
#pragma once

#include <stdint.h>

namespace tamis::prim {
namespace {  // inline functions: no level's copy may be merged with another's

class ScratchLayout {
 public:
  static int64_t RoundUp(int64_t a, int64_t multiple) {
    return a > INT64_MAX - multiple ? INT64_MAX : (a + multiple - 1) / multiple * multiple;
  }
  int64_t Times(int64_t a, int64_t b) {
    int64_t product = 0;
    overflow_ = overflow_ || __builtin_mul_overflow(a, b, &product);
    return product;
  }
  /// Where a part of `floats` begins.
  int64_t Take(int64_t floats) {
    const int64_t begin = end_;
    if (overflow_ || floats > (INT64_MAX >> 4) - end_) {
      overflow_ = true;
      return 0;
    }
    end_ += RoundUp(floats, 16);
    return begin;
  }
  /// Floats in all; negative where that overflows.
  int64_t Total() const { return overflow_ ? -1 : end_; }

 private:
  int64_t end_ = 0;
  bool overflow_ = false;
};

}  // namespace
}  // namespace tamis::prim

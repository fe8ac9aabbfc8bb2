// How much memory a worker needs, and where its parts lie: sums and products of sizes that notice
// when they leave what can be counted. Every size of a workspace is computed with these. Included
// by files compiled for one level: no C++ library here.
#pragma once

#include <stdint.h>

namespace tamis::prim {
namespace {  // inline functions: no level's copy may be merged with another's

/// Of sizes, which are not negative. What leaves int64 is INT64_MAX, and stays more than any memory
/// in all that is made of it.
inline int64_t Plus(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}
inline int64_t Times(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}
inline int64_t RoundedUp(int64_t a, int64_t multiple) {
  return a > INT64_MAX - multiple ? INT64_MAX : (a + multiple - 1) / multiple * multiple;
}

/// Lays parts of a worker's scratch one after the other, each on a cache line, in floats.
class ScratchLayout {
 public:
  /// Where a part of `floats` begins.
  int64_t Take(int64_t floats) {
    const int64_t begin = end_;
    end_ = Plus(end_, RoundedUp(floats, 16));
    return begin;
  }
  /// Floats in all.
  int64_t Total() const { return end_; }

 private:
  int64_t end_ = 0;
};

}  // namespace
}  // namespace tamis::prim

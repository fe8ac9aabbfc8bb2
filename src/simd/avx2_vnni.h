// Level avx2_vnni: level avx2 and dot products of integers, as AVX-VNNI encodes them.
#pragma once

#include "simd/avx2.h"

namespace tamis::avx2_vnni {
namespace {

using namespace tamis::avx2;

constexpr bool kInt16 = true;

// In assembly: gcc 12 copies the accumulator around the intrinsic. Without the prefix assemblers
// take the encoding of AVX512_VNNI.
inline I DotInt16(I a, I b, I c) {
  __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  return c;
}
inline I DotInt8(I a, I b, I c) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  return c;
}

// Zeros that gcc 12 knows to be the same share a register, and one of 12 accumulators is then
// copied twice for every 12 products.
inline I ZeroInts() {
  I zero;
  __asm__("vpxor %0, %0, %0" : "=x"(zero));
  return zero;
}

}  // namespace
}  // namespace tamis::avx2_vnni

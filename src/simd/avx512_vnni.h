// Level avx512_vnni: level avx512 and dot products of pairs of 16-bit integers.
#pragma once

#include "simd/avx512.h"

namespace tamis::avx512_vnni {
namespace {

using namespace tamis::avx512;

constexpr bool kInt16 = true;

// In assembly: gcc 12 copies the accumulator around the intrinsic.
inline I DotInt16(I a, I b, I c) {
  __asm__("vpdpwssd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
  return c;
}
inline I DotInt8(I a, I b, I c) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
  return c;
}

}  // namespace
}  // namespace tamis::avx512_vnni

// Level avx512_bf16: level avx512_vnni and dot products of pairs of bfloat16.
#pragma once

#include "simd/avx512_vnni.h"

namespace tamis::avx512_bf16 {
namespace {

using namespace tamis::avx512;

constexpr bool kBf16Pairs = true;
using avx512_vnni::DotInt16;
using avx512_vnni::DotInt8;
using avx512_vnni::kInt16;

// c + a0 b0 + a1 b1: the lanes of a and b hold a pair of bfloat16 each, the first in the low half.
// Products are exact, sums round to nearest even; subnormals count as 0.
inline V Dot(V a, V b, V c) {
  return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

// Lane i becomes the pair of first[i] and second[i].
inline V PairUp(__m256i first, __m256i second) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, both));
}
inline V LoadBf16Pairs(const uint16_t* first, const uint16_t* second) {
  return PairUp(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first)),
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)));
}
// From n on 0.
inline V LoadBf16PairsN(const uint16_t* first, const uint16_t* second, int n) {
  return PairUp(_mm256_maskz_loadu_epi16(MaskOf(n), first),
                _mm256_maskz_loadu_epi16(MaskOf(n), second));
}

}  // namespace
}  // namespace tamis::avx512_bf16

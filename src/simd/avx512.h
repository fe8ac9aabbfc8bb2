// Level avx512: 16 lanes; AVX-512 F BW DQ VL CD, so Skylake too.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/exp_constants.h"

namespace tamis::avx512 {
namespace {

using V = __m512;
constexpr int kLanes = 16;
constexpr bool kBf16Pairs = false;
constexpr bool kInt16 = false;

inline __mmask16 MaskOf(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline V Zero() { return _mm512_setzero_ps(); }
inline V Set(float x) { return _mm512_set1_ps(x); }
inline V Load(const float* p) { return _mm512_loadu_ps(p); }
inline V LoadN(const float* p, int n) { return _mm512_maskz_loadu_ps(MaskOf(n), p); }
inline void Store(float* p, V v) { _mm512_storeu_ps(p, v); }
inline void StoreN(float* p, V v, int n) { _mm512_mask_storeu_ps(p, MaskOf(n), v); }

inline V WidenBF16(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline __m256i NarrowBF16(V v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}
inline __m256i NarrowF16(V v) {
  return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

inline V LoadF16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline V LoadBF16(const uint16_t* p) {
  return WidenBF16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline V LoadF16N(const uint16_t* p, int n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(MaskOf(n), p));
}
inline V LoadBF16N(const uint16_t* p, int n) {
  return WidenBF16(_mm256_maskz_loadu_epi16(MaskOf(n), p));
}
inline void StoreF16(uint16_t* p, V v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), NarrowF16(v));
}
inline void StoreBF16(uint16_t* p, V v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), NarrowBF16(v));
}
inline void StoreF16N(uint16_t* p, V v, int n) {
  _mm256_mask_storeu_epi16(p, MaskOf(n), NarrowF16(v));
}
inline void StoreBF16N(uint16_t* p, V v, int n) {
  _mm256_mask_storeu_epi16(p, MaskOf(n), NarrowBF16(v));
}

inline V RoundF16(V v) { return _mm512_cvtph_ps(NarrowF16(v)); }
inline V RoundBF16(V v) { return WidenBF16(NarrowBF16(v)); }

inline V LoadI8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
// The bits of e4m3 lie in fp16 with 2^-8 of their value, subnormals included; 480 is its NaN.
inline V LoadE4M3(const uint8_t* p) {
  const __m256i bits = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(bits, _mm256_set1_epi16(0x80)), 8);
  const __m256i rest = _mm256_slli_epi16(_mm256_and_si256(bits, _mm256_set1_epi16(0x7f)), 7);
  const V value =
      _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(sign, rest)), _mm512_set1_ps(256.0f));
  const __mmask16 is_nan =
      _mm512_cmp_ps_mask(_mm512_abs_ps(value), _mm512_set1_ps(480.0f), _CMP_EQ_OQ);
  return _mm512_mask_mov_ps(value, is_nan, _mm512_set1_ps(__builtin_nanf("")));
}

inline V Add(V a, V b) { return _mm512_add_ps(a, b); }
inline V Sub(V a, V b) { return _mm512_sub_ps(a, b); }
inline V Mul(V a, V b) { return _mm512_mul_ps(a, b); }
inline V Div(V a, V b) { return _mm512_div_ps(a, b); }
inline V Fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline V Max(V a, V b) { return _mm512_max_ps(a, b); }
inline V IfPositive(V a, V b) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), b);
}
inline bool AllEqual(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) == 0xffff; }

inline V ExpNonPositive(V x) {
  using namespace tamis::simd;
  const V n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(kExpLog2e)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  V r = _mm512_fnmadd_ps(n, _mm512_set1_ps(kExpLn2High), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(kExpLn2Low), r);
  V p = _mm512_set1_ps(kExpC7);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kExpC6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kExpC5));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kExpC4));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kExpC3));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kExpC2));
  p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
  const __mmask16 keep =
      _mm512_cmp_ps_mask(x, _mm512_set1_ps(kExpLowest), _CMP_NLT_UQ);  // true for NaN
  return _mm512_maskz_scalef_ps(keep, p, n);
}

inline void Transpose(V* rows) {
  V a[16];
  for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
  }
  V b[16];
  for (int i = 0; i < 4; ++i) {
    b[4 * i + 0] = _mm512_shuffle_ps(a[4 * i + 0], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm512_shuffle_ps(a[4 * i + 0], a[4 * i + 2], 0xee);
    b[4 * i + 2] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4;
       ++i) {  // b[4g + i] holds, in 128-bit lane c, column 4c + i of rows 4g .. 4g + 3
    const V low01 = _mm512_shuffle_f32x4(b[i], b[4 + i], 0x88);
    const V high01 = _mm512_shuffle_f32x4(b[i], b[4 + i], 0xdd);
    const V low23 = _mm512_shuffle_f32x4(b[8 + i], b[12 + i], 0x88);
    const V high23 = _mm512_shuffle_f32x4(b[8 + i], b[12 + i], 0xdd);
    rows[i] = _mm512_shuffle_f32x4(low01, low23, 0x88);
    rows[4 + i] = _mm512_shuffle_f32x4(high01, high23, 0x88);
    rows[8 + i] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
    rows[12 + i] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
  }
}

// The 128-bit parts of a, then of b, summed in pairs.
inline V AddParts(V a, V b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
inline float SumLanes(V v) { return _mm512_reduce_add_ps(v); }
inline V SumRows(const V* rows) {
  V four[4];  // four[i] holds in part c what is left of row 4 c + i: four partial sums
  for (int i = 0; i < 4; ++i)
    four[i] = AddParts(AddParts(rows[i], rows[4 + i]), AddParts(rows[8 + i], rows[12 + i]));
  V two[2];
  for (int i = 0; i < 2; ++i) {
    two[i] = _mm512_add_ps(_mm512_unpacklo_ps(four[2 * i], four[2 * i + 1]),
                           _mm512_unpackhi_ps(four[2 * i], four[2 * i + 1]));
  }
  return _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x44),
                       _mm512_shuffle_ps(two[0], two[1], 0xee));
}

using I = __m512i;
inline I ZeroInts() { return _mm512_setzero_si512(); }
inline I LoadInts(const void* p) { return _mm512_loadu_si512(p); }
inline I SetInts(int32_t x) { return _mm512_set1_epi32(x); }
inline void StoreInts(void* p, I v) { _mm512_storeu_si512(p, v); }
inline V FloatsOf(I v) { return _mm512_cvtepi32_ps(v); }
inline I MagnitudesOf(V v) {
  return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}
inline I MaxInts(I a, I b) { return _mm512_max_epi32(a, b); }
inline int32_t MaxLane(I v) { return _mm512_reduce_max_epi32(v); }
inline I MaxHalves(I a, I b) {
  return _mm512_max_epu16(a, _mm512_and_si512(b, _mm512_set1_epi32(0x7fff7fff)));
}
inline uint32_t MaxHalf(I v) {
  const __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi32(-1)));
  return 0xffffu - (static_cast<uint32_t>(_mm_cvtsi128_si32(least)) & 0xffffu);
}

inline V Sqrt(V v) { return _mm512_sqrt_ps(v); }
inline I IntBits(V v) { return _mm512_castps_si512(v); }
inline V FloatBits(I v) { return _mm512_castsi512_ps(v); }
inline I AddInts(I a, I b) { return _mm512_add_epi32(a, b); }
inline I AndInts(I a, I b) { return _mm512_and_si512(a, b); }
inline int32_t SumInts(I v) { return _mm512_reduce_add_epi32(v); }
inline I RoundInts(V v) { return _mm512_cvtps_epi32(v); }
inline I PairUpInts(I a, I b) {
  return _mm512_mask_blend_epi16(0xaaaaaaaau, a, _mm512_slli_epi32(b, 16));
}
inline I AddHalves(I a, I b) { return _mm512_add_epi16(a, b); }
inline I SubHalves(I a, I b) { return _mm512_sub_epi16(a, b); }
template <int kBits>
inline I ShiftHalves(I v) {
  return _mm512_srai_epi16(v, kBits);
}
inline I MixBytes(I a, I b) {
  return _mm512_or_si512(_mm512_and_si512(a, _mm512_set1_epi16(0xff)), _mm512_slli_epi16(b, 8));
}
inline I AddBytes(I a, I b) { return _mm512_add_epi8(a, b); }
inline uint32_t NotBelow(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }

using R = __m512i;
constexpr int kRanks = 8;
inline R SetRank(uint64_t x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
inline R MaxRanks(R a, R b) { return _mm512_max_epu64(a, b); }
inline R MinRanks(R a, R b) { return _mm512_min_epu64(a, b); }
inline R ShiftRanks(R v, R before) { return _mm512_alignr_epi64(v, before, 7); }
inline void StoreRanks(uint64_t* p, R v) { _mm512_storeu_si512(p, v); }

// The low half of 1.5 2^23 + x is x as a 16-bit integer.
inline I PairInt16(V a, V a_factor, V b, V b_factor) {
  const V magic = _mm512_set1_ps(0x1.8p23f);
  const I low = _mm512_castps_si512(_mm512_fmadd_ps(a, a_factor, magic));
  const I high = _mm512_castps_si512(_mm512_fmadd_ps(b, b_factor, magic));
  return _mm512_mask_blend_epi16(0xaaaaaaaau, low, _mm512_slli_epi32(high, 16));
}
inline I DotInt16(I a, I b, I c) { return _mm512_add_epi32(c, _mm512_madd_epi16(a, b)); }
// Even and odd bytes apart: products of bytes in pairs of 16 bits would saturate.
inline I DotInt8(I a, I b, I c) {
  const I even = _mm512_madd_epi16(_mm512_and_si512(a, _mm512_set1_epi16(0xff)),
                                   _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
  const I odd = _mm512_madd_epi16(_mm512_srli_epi16(a, 8), _mm512_srai_epi16(b, 8));
  return _mm512_add_epi32(c, _mm512_add_epi32(even, odd));
}

}  // namespace
}  // namespace tamis::avx512

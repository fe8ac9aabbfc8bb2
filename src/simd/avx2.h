// Level avx2: 8 lanes; AVX2, FMA, F16C.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/exp_constants.h"

namespace tamis::avx2 {
namespace {

using V = __m256;
constexpr int kLanes = 8;
constexpr bool kBf16Pairs = false;
constexpr bool kInt16 = false;

inline __m256i MaskOf(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline V Zero() { return _mm256_setzero_ps(); }
inline V Set(float x) { return _mm256_set1_ps(x); }
inline V Load(const float* p) { return _mm256_loadu_ps(p); }
inline V LoadN(const float* p, int n) { return _mm256_maskload_ps(p, MaskOf(n)); }
inline void Store(float* p, V v) { _mm256_storeu_ps(p, v); }
inline void StoreN(float* p, V v, int n) { _mm256_maskstore_ps(p, MaskOf(n), v); }

// AVX2 has no masked 16-bit access: partial vectors go through a small array.
inline __m128i Load16N(const uint16_t* p, int n) {
  uint16_t lanes[8] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(lanes));
}
inline void Store16N(uint16_t* p, __m128i bits, int n) {
  uint16_t lanes[8];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), bits);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
inline V WidenBF16(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline __m128i NarrowBF16(V v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08));
}
inline __m128i NarrowF16(V v) {
  return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

inline V LoadF16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline V LoadBF16(const uint16_t* p) {
  return WidenBF16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline V LoadF16N(const uint16_t* p, int n) { return _mm256_cvtph_ps(Load16N(p, n)); }
inline V LoadBF16N(const uint16_t* p, int n) { return WidenBF16(Load16N(p, n)); }
inline void StoreF16(uint16_t* p, V v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), NarrowF16(v));
}
inline void StoreBF16(uint16_t* p, V v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), NarrowBF16(v));
}
inline void StoreF16N(uint16_t* p, V v, int n) { Store16N(p, NarrowF16(v), n); }
inline void StoreBF16N(uint16_t* p, V v, int n) { Store16N(p, NarrowBF16(v), n); }

inline V RoundF16(V v) { return _mm256_cvtph_ps(NarrowF16(v)); }
inline V RoundBF16(V v) { return WidenBF16(NarrowBF16(v)); }

inline V LoadI8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
// The bits of e4m3 lie in fp16 with 2^-8 of their value, subnormals included; 480 is its NaN.
inline V LoadE4M3(const uint8_t* p) {
  const __m128i bits = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m128i sign = _mm_slli_epi16(_mm_and_si128(bits, _mm_set1_epi16(0x80)), 8);
  const __m128i rest = _mm_slli_epi16(_mm_and_si128(bits, _mm_set1_epi16(0x7f)), 7);
  const V value = _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(sign, rest)), _mm256_set1_ps(256.0f));
  const V size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), value);
  const V is_nan = _mm256_cmp_ps(size, _mm256_set1_ps(480.0f), _CMP_EQ_OQ);
  return _mm256_blendv_ps(value, _mm256_set1_ps(__builtin_nanf("")), is_nan);
}

inline V Add(V a, V b) { return _mm256_add_ps(a, b); }
inline V Sub(V a, V b) { return _mm256_sub_ps(a, b); }
inline V Mul(V a, V b) { return _mm256_mul_ps(a, b); }
inline V Div(V a, V b) { return _mm256_div_ps(a, b); }
inline V Fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V Max(V a, V b) { return _mm256_max_ps(a, b); }
inline V IfPositive(V a, V b) {
  return _mm256_and_ps(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ), b);
}
inline bool AllEqual(V a, V b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) == 0xff;
}

inline V ExpNonPositive(V x) {
  using namespace tamis::simd;
  const V n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(kExpLog2e)),
                              _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  V r = _mm256_fnmadd_ps(n, _mm256_set1_ps(kExpLn2High), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(kExpLn2Low), r);
  V p = _mm256_set1_ps(kExpC7);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kExpC6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kExpC5));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kExpC4));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kExpC3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kExpC2));
  p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
  const __m256i exponent =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  const V result = _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
  const V too_low = _mm256_cmp_ps(x, _mm256_set1_ps(kExpLowest), _CMP_LT_OQ);  // false for NaN
  return _mm256_andnot_ps(too_low, result);
}

inline void Transpose(V* rows) {
  V a[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
  }
  V b[8];
  for (int i = 0; i < 2; ++i) {
    b[4 * i + 0] = _mm256_shuffle_ps(a[4 * i + 0], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i + 0], a[4 * i + 2], 0xee);
    b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

inline float SumLanes(V v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}
inline V SumRows(const V* rows) {
  V half[2];  // in each 128-bit half, its sums of four rows
  for (int i = 0; i < 2; ++i) {
    const V* four = rows + 4 * i;
    half[i] = _mm256_hadd_ps(_mm256_hadd_ps(four[0], four[1]), _mm256_hadd_ps(four[2], four[3]));
  }
  return _mm256_add_ps(_mm256_permute2f128_ps(half[0], half[1], 0x20),
                       _mm256_permute2f128_ps(half[0], half[1], 0x31));
}

using I = __m256i;
inline I ZeroInts() { return _mm256_setzero_si256(); }
inline I LoadInts(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline I SetInts(int32_t x) { return _mm256_set1_epi32(x); }
inline void StoreInts(void* p, I v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline V FloatsOf(I v) { return _mm256_cvtepi32_ps(v); }
inline I MagnitudesOf(V v) {
  return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
}
inline I MaxInts(I a, I b) { return _mm256_max_epi32(a, b); }
inline int32_t MaxLane(I v) {
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}
inline I MaxHalves(I a, I b) {
  return _mm256_max_epu16(a, _mm256_and_si256(b, _mm256_set1_epi32(0x7fff7fff)));
}
inline uint32_t MaxHalf(I v) {
  const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi32(-1)));
  return 0xffffu - (static_cast<uint32_t>(_mm_cvtsi128_si32(least)) & 0xffffu);
}

inline V Sqrt(V v) { return _mm256_sqrt_ps(v); }
inline I IntBits(V v) { return _mm256_castps_si256(v); }
inline V FloatBits(I v) { return _mm256_castsi256_ps(v); }
inline I AddInts(I a, I b) { return _mm256_add_epi32(a, b); }
inline I AndInts(I a, I b) { return _mm256_and_si256(a, b); }
inline int32_t SumInts(I v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
inline I RoundInts(V v) { return _mm256_cvtps_epi32(v); }
inline I PairUpInts(I a, I b) { return _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xaa); }
inline I AddHalves(I a, I b) { return _mm256_add_epi16(a, b); }
inline I SubHalves(I a, I b) { return _mm256_sub_epi16(a, b); }
template <int kBits>
inline I ShiftHalves(I v) {
  return _mm256_srai_epi16(v, kBits);
}
inline I MixBytes(I a, I b) {
  return _mm256_or_si256(_mm256_and_si256(a, _mm256_set1_epi16(0xff)), _mm256_slli_epi16(b, 8));
}
inline I AddBytes(I a, I b) { return _mm256_add_epi8(a, b); }
inline uint32_t NotBelow(V a, V b) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ)));
}

using R = __m256i;
constexpr int kRanks = 4;
inline R SetRank(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
inline R IsGreater(R a, R b) {
  const R sign = SetRank(uint64_t{1} << 63);
  return _mm256_cmpgt_epi64(_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign));
}
inline R MaxRanks(R a, R b) { return _mm256_blendv_epi8(b, a, IsGreater(a, b)); }
inline R MinRanks(R a, R b) { return _mm256_blendv_epi8(a, b, IsGreater(a, b)); }
inline R ShiftRanks(R v, R before) {
  return _mm256_alignr_epi8(v, _mm256_permute2x128_si256(before, v, 0x21), 8);
}
inline void StoreRanks(uint64_t* p, R v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

// The low half of 1.5 2^23 + x is x as a 16-bit integer.
inline I PairInt16(V a, V a_factor, V b, V b_factor) {
  const V magic = _mm256_set1_ps(0x1.8p23f);
  const I low = _mm256_castps_si256(_mm256_fmadd_ps(a, a_factor, magic));
  const I high = _mm256_castps_si256(_mm256_fmadd_ps(b, b_factor, magic));
  return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
}
inline I DotInt16(I a, I b, I c) { return _mm256_add_epi32(c, _mm256_madd_epi16(a, b)); }
// Even and odd bytes apart: products of bytes in pairs of 16 bits would saturate.
inline I DotInt8(I a, I b, I c) {
  const I even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(0xff)),
                                   _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
  const I odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
  return _mm256_add_epi32(c, _mm256_add_epi32(even, odd));
}

}  // namespace
}  // namespace tamis::avx2

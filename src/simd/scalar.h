// Level scalar: one lane, any processor.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/exp_constants.h"

namespace tamis::scalar {
namespace {

using V = float;
constexpr int kLanes = 1;
constexpr bool kBf16Pairs = false;
constexpr bool kInt16 = true;

inline uint32_t BitsOf(float x) { return __builtin_bit_cast(uint32_t, x); }
inline float FloatOf(uint32_t bits) { return __builtin_bit_cast(float, bits); }

inline V Zero() { return 0.0f; }
inline V Set(float x) { return x; }
inline V Load(const float* p) { return *p; }
inline V LoadN(const float* p, int n) { return n > 0 ? *p : 0.0f; }
inline void Store(float* p, V v) { *p = v; }
inline void StoreN(float* p, V v, int n) {
  if (n > 0) *p = v;
}

inline V LoadBF16(const uint16_t* p) { return FloatOf(static_cast<uint32_t>(*p) << 16); }
inline V LoadF16(const uint16_t* p) {
  const uint32_t sign = static_cast<uint32_t>(*p & 0x8000u) << 16;
  const uint32_t magnitude = *p & 0x7fffu;
  if (magnitude >= 0x7c00u) return FloatOf(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  // Scaling by 2^112 moves the exponent bias from 15 to 127 and normalises subnormals, exactly.
  return FloatOf(BitsOf(FloatOf(magnitude << 13) * 0x1p112f) | sign);
}
inline V LoadF16N(const uint16_t* p, int n) { return n > 0 ? LoadF16(p) : 0.0f; }
inline V LoadBF16N(const uint16_t* p, int n) { return n > 0 ? LoadBF16(p) : 0.0f; }

inline void StoreBF16(uint16_t* p, V v) {
  const uint32_t bits = BitsOf(v);
  if (v != v) {
    *p = static_cast<uint16_t>((bits >> 16) | 0x40u);
  } else {
    *p = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}
inline void StoreF16(uint16_t* p, V v) {
  const uint32_t bits = BitsOf(v);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    *p = sign | 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // 65520 and above round to infinity
    *p = sign | 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 rounds at 2^-24, to even
    *p = static_cast<uint16_t>(sign | (BitsOf(FloatOf(magnitude) + 0.5f) - 0x3f000000u));
  } else {
    *p = static_cast<uint16_t>(
        sign | ((magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
  }
}
inline void StoreF16N(uint16_t* p, V v, int n) {
  if (n > 0) StoreF16(p, v);
}
inline void StoreBF16N(uint16_t* p, V v, int n) {
  if (n > 0) StoreBF16(p, v);
}

inline V RoundF16(V v) {
  uint16_t bits;
  StoreF16(&bits, v);
  return LoadF16(&bits);
}
inline V RoundBF16(V v) {
  uint16_t bits;
  StoreBF16(&bits, v);
  return LoadBF16(&bits);
}

inline V LoadI8(const uint8_t* p) { return static_cast<float>(static_cast<int8_t>(*p)); }
// The bits of e4m3 lie in fp16 with 2^-8 of their value, subnormals included; 480 is its NaN.
inline V LoadE4M3(const uint8_t* p) {
  const auto bits = static_cast<uint16_t>(((*p & 0x80u) << 8) | ((*p & 0x7fu) << 7));
  const float value = LoadF16(&bits) * 256.0f;
  return (*p & 0x7fu) == 0x7fu ? __builtin_nanf("") : value;
}

inline V Add(V a, V b) { return a + b; }
inline V Sub(V a, V b) { return a - b; }
inline V Mul(V a, V b) { return a * b; }
inline V Div(V a, V b) { return a / b; }
inline V Fma(V a, V b, V c) { return a * b + c; }
inline V Max(V a, V b) { return a > b ? a : b; }
inline V IfPositive(V a, V b) { return a > 0 ? b : 0.0f; }
inline bool AllEqual(V a, V b) { return a == b; }

inline V ExpNonPositive(V x) {
  using namespace tamis::simd;
  if (x < kExpLowest) return 0.0f;
  // NaN; or large, where a NaN has hidden the largest score: what comes of it is NaN with it.
  if (!(x < 88.0f)) return x;
  const float n = rintf(x * kExpLog2e);
  const float r = (x - n * kExpLn2High) - n * kExpLn2Low;
  float p = kExpC7;
  p = p * r + kExpC6;
  p = p * r + kExpC5;
  p = p * r + kExpC4;
  p = p * r + kExpC3;
  p = p * r + kExpC2;
  p = p * (r * r) + r + 1.0f;
  return p * FloatOf(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}

inline void Transpose(V*) {}

inline float SumLanes(V v) { return v; }
inline V SumRows(const V* rows) { return rows[0]; }

using I = int32_t;
inline I ZeroInts() { return 0; }
inline I LoadInts(const void* p) {
  I v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline I SetInts(int32_t x) { return x; }
inline void StoreInts(void* p, I v) { __builtin_memcpy(p, &v, sizeof(v)); }
inline V FloatsOf(I v) { return static_cast<float>(v); }
inline I MagnitudesOf(V v) { return static_cast<I>(BitsOf(v) & 0x7fffffffu); }
inline I MaxInts(I a, I b) { return a > b ? a : b; }
inline int32_t MaxLane(I v) { return v; }
inline I MaxHalves(I a, I b) {
  const uint32_t x = static_cast<uint32_t>(a);
  const uint32_t y = static_cast<uint32_t>(b) & 0x7fff7fffu;
  const uint32_t low = (x & 0xffffu) > (y & 0xffffu) ? x & 0xffffu : y & 0xffffu;
  return static_cast<I>(low | (x >> 16 > y >> 16 ? x >> 16 : y >> 16) << 16);
}
inline uint32_t MaxHalf(I v) {
  const uint32_t x = static_cast<uint32_t>(v);
  return (x & 0xffffu) > x >> 16 ? x & 0xffffu : x >> 16;
}

inline V Sqrt(V v) { return sqrtf(v); }
inline I IntBits(V v) { return static_cast<I>(BitsOf(v)); }
inline V FloatBits(I v) { return FloatOf(static_cast<uint32_t>(v)); }
inline I AddInts(I a, I b) {
  return static_cast<I>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
inline I AndInts(I a, I b) { return a & b; }
inline int32_t SumInts(I v) { return v; }
inline I RoundInts(V v) { return static_cast<I>(rintf(v)); }
inline I PairUpInts(I a, I b) {
  return static_cast<I>((static_cast<uint32_t>(a) & 0xffffu) | static_cast<uint32_t>(b) << 16);
}
inline uint32_t LowHalf(I v) { return static_cast<uint32_t>(v) & 0xffffu; }
inline uint32_t HighHalf(I v) { return static_cast<uint32_t>(v) >> 16; }
inline I OfHalves(uint32_t low, uint32_t high) {
  return static_cast<I>((low & 0xffffu) | high << 16);
}
inline I AddHalves(I a, I b) {
  return OfHalves(LowHalf(a) + LowHalf(b), HighHalf(a) + HighHalf(b));
}
inline I SubHalves(I a, I b) {
  return OfHalves(LowHalf(a) - LowHalf(b), HighHalf(a) - HighHalf(b));
}
template <int kBits>
inline I ShiftHalves(I v) {
  const int32_t low = static_cast<int16_t>(LowHalf(v));
  return OfHalves(static_cast<uint32_t>(low >> kBits), static_cast<uint32_t>(v >> 16 >> kBits));
}
inline I MixBytes(I a, I b) {
  return static_cast<I>((static_cast<uint32_t>(a) & 0x00ff00ffu) |
                        (static_cast<uint32_t>(b) & 0x00ff00ffu) << 8);
}
inline I AddBytes(I a, I b) {
  uint32_t sum = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    sum |= (((static_cast<uint32_t>(a) >> shift) + (static_cast<uint32_t>(b) >> shift)) & 0xffu)
           << shift;
  }
  return static_cast<I>(sum);
}
inline uint32_t NotBelow(V a, V b) { return a < b ? 0 : 1; }

using R = uint64_t;
constexpr int kRanks = 1;
inline R SetRank(uint64_t x) { return x; }
inline R MaxRanks(R a, R b) { return a > b ? a : b; }
inline R MinRanks(R a, R b) { return a < b ? a : b; }
inline R ShiftRanks(R, R before) { return before; }
inline void StoreRanks(uint64_t* p, R v) { *p = v; }

// The low half of 1.5 2^23 + x is x as a 16-bit integer.
inline I PairInt16(V a, V a_factor, V b, V b_factor) {
  const uint32_t low = BitsOf(a * a_factor + 0x1.8p23f) & 0xffffu;
  return static_cast<I>(low | BitsOf(b * b_factor + 0x1.8p23f) << 16);
}
inline I DotInt16(I a, I b, I c) {
  const auto part = [](I pair, int shift) {
    return static_cast<int32_t>(static_cast<int16_t>(static_cast<uint32_t>(pair) >> shift));
  };
  const int32_t products[] = {part(a, 0) * part(b, 0), part(a, 16) * part(b, 16)};
  return static_cast<I>(static_cast<uint32_t>(c) + static_cast<uint32_t>(products[0]) +
                        static_cast<uint32_t>(products[1]));
}

inline I DotInt8(I a, I b, I c) {
  const auto ua = static_cast<uint32_t>(a);
  const auto ub = static_cast<uint32_t>(b);
  int32_t sum = 0;
  for (int shift = 0; shift < 32; shift += 8)
    sum += static_cast<int32_t>((ua >> shift) & 0xffu) * static_cast<int8_t>((ub >> shift) & 0xffu);
  return AddInts(c, sum);
}

}  // namespace
}  // namespace tamis::scalar

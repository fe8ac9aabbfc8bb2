// The weighted sum of a tile's values in 16-bit integers: twice the products per instruction, with
// less error than probabilities in bfloat16 would have.
//
//   value v_kc = V_kc / s_k      s_k a power of two, so that |V_kc| < 2^15 (bfloat16 mostly exact)
//   weight e_k / s_k = P_k / p   p of a row and tile, so that |P_k| < 2^15 and
//                                sum_k |P_k| 2^15 < 2^31: no sum of products overflows
//   sum_k e_k v_kc = (1 / p) sum_k P_k V_kc
//
// Keys lie in pairs: a 32-bit lane holds V of keys 2i and 2i + 1, or P of them.
#pragma once

#include "prim/blocks/elements-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// The largest of a row does not round up to 2^15: values have 11 bits at most. 2^15 (sum P + keys /
// 2) < 2^31 leaves 2^16 - keys / 2 for the weights' sum before rounding.
constexpr int kValueBits = 15;
constexpr float kMostWeight = 32767.0f;
constexpr float kMostWeights = 65280.0f;  // up to 512 keys
// Values whose largest magnitude lies outside (and is not 0) are left to fp32: weights e / s_k
// would leave the range of floats.
constexpr uint32_t kLeastExponent = 127 - 30;
constexpr uint32_t kMostExponent = 127 + 29;

template <class Element>
TAMIS_INLINE V LoadValues(const uint16_t* p) {
  return Element::LoadElements(p);
}
template <class Element>
TAMIS_INLINE V LoadValues(const float* p) {
  return Load(p);
}
template <class Element>
TAMIS_INLINE V LoadValuesN(const uint16_t* p, int n) {
  return Element::LoadElementsN(p, n);
}
template <class Element>
TAMIS_INLINE V LoadValuesN(const float* p, int n) {
  return LoadN(p, n);
}

// A magnitude of 16 bits as the bits of a float; infinity where it is none.
template <class Element>
uint32_t FloatBitsOf(uint32_t magnitude);
template <>
TAMIS_INLINE uint32_t FloatBitsOf<BF16>(uint32_t magnitude) {
  return magnitude << 16;
}
template <>
TAMIS_INLINE uint32_t FloatBitsOf<F16>(uint32_t magnitude) {
  if (magnitude >= 0x7c00u) return 0x7f800000u;
  return __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, magnitude << 13) * 0x1p112f);
}

// The bits of the largest magnitude in a row, of infinity or NaN where it has one. Halves are
// ordered as their bits are: none is widened.
template <class Element>
TAMIS_INLINE uint32_t MostOf(const uint16_t* row, int64_t dim) {
  I most = ZeroInts();
  int64_t c = 0;
  for (; c + 2 * kLanes <= dim; c += 2 * kLanes) most = MaxHalves(most, LoadInts(row + c));
  uint32_t all = MaxHalf(most);
  for (; c < dim; ++c) {
    const uint32_t magnitude = row[c] & 0x7fffu;
    all = magnitude > all ? magnitude : all;
  }
  return FloatBitsOf<Element>(all);
}
template <class Element>
TAMIS_INLINE uint32_t MostOf(const float* row, int64_t dim) {
  I most = ZeroInts();
  int64_t c = 0;
  for (; c + kLanes <= dim; c += kLanes) most = MaxInts(most, MagnitudesOf(Load(row + c)));
  if (c < dim) {
    most = MaxInts(most, MagnitudesOf(LoadN(row + c, static_cast<int>(dim - c))));
  }
  return static_cast<uint32_t>(MaxLane(most));
}

// s_k of a row and its inverse, a power of two. A row of zeros has weight 0: with any other it
// would take room from those that count.
struct RowScale {
  bool fits;
  float scale;
  float inverse;
};
TAMIS_INLINE RowScale ScaleOf(uint32_t most) {
  if (most == 0) return {true, 0.0f, 0.0f};
  // m 2^x with 1 <= m < 2 has x + 127 in its exponent.
  const uint32_t exponent = most >> 23;
  if (exponent < kLeastExponent || exponent > kMostExponent) return {false, 0.0f, 0.0f};
  return {true, __builtin_bit_cast(float, (2u * 127u + kValueBits - 1u - exponent) << 23),
          __builtin_bit_cast(float, (exponent + 1u - kValueBits) << 23)};
}

// Two rows of `dim` values, pair by pair. `dim` is rounded up to whole vectors.
template <class Element, class Stored>
TAMIS_INLINE void PairRows(const Stored* first, const Stored* second, int64_t dim,
                           const RowScale& a, const RowScale& b, int32_t* to) {
  const V va = Set(a.scale);
  const V vb = Set(b.scale);
  int64_t c = 0;
  for (; c + kLanes <= dim; c += kLanes)
    StoreInts(to + c,
              PairInt16(LoadValues<Element>(first + c), va, LoadValues<Element>(second + c), vb));
  if (c < dim) {
    const int rest = static_cast<int>(dim - c);
    StoreInts(to + c, PairInt16(LoadValuesN<Element>(first + c, rest), va,
                                LoadValuesN<Element>(second + c, rest), vb));
  }
}

// The same and 1 / s of both; the second may be null. Returns whether both are in range.
template <class Element, class Stored>
TAMIS_INLINE bool PairValues(const Stored* first, const Stored* second, int64_t dim, int32_t* to,
                             float* inverse) {
  const RowScale a = ScaleOf(MostOf<Element>(first, dim));
  const RowScale b = ScaleOf(second == nullptr ? 0 : MostOf<Element>(second, dim));
  if (!a.fits || !b.fits) return false;
  inverse[0] = a.inverse;
  inverse[1] = b.inverse;
  PairRows<Element>(first, second == nullptr ? first : second, dim, a, b, to);
  return true;
}

// Finds the 1 / p of weights, a vector of rows at a time: of e of one key after the other.
// `inverse` are the values' 1 / s_k.
struct WeightRange {
  const float* inverse;
  float* factor;  // [rows]: 1 / p
  V most = Zero();
  V sum = Zero();

  TAMIS_INLINE void Begin() { most = sum = Zero(); }
  TAMIS_INLINE void Take(int64_t key, V e) {
    const V weight = Mul(e, Set(inverse[key]));
    most = Max(weight, most);
    sum = Add(sum, weight);
  }
  // A NaN among the weights is in the sum, and 1 / p is NaN: so is what it multiplies.
  TAMIS_INLINE void End(int64_t row) {
    Store(factor + row, Max(Mul(most, Set(1.0f / kMostWeight)),
                            Max(Set(0x1p-100f), Mul(sum, Set(1.0f / kMostWeights)))));
  }
};

// An integer of scratch in all lanes. Scratch that holds integers holds floats at other times:
// compilers may swap accesses of two types, but none with a copy (docs/adr/0024).
TAMIS_INLINE I BroadcastInts(const int32_t* p) {
  int32_t x;
  __builtin_memcpy(&x, p, sizeof(x));
  return SetInts(x);
}

// Weights of `count` keys (rows of e, e_stride apart) in pairs, which may take their place; row i
// of `weights` holds keys 2i and 2i + 1. `factor` is what a WeightRange of them has found.
TAMIS_INLINE void PairWeights(int64_t vectors, int64_t e_stride, int64_t count, const float* e,
                              const float* inverse, const float* factor, int32_t* weights) {
  for (int64_t v = 0; v < vectors * kLanes; v += kLanes) {
    const V p = Div(Set(1.0f), Load(factor + v));
    int64_t k = 0;
    for (; k + 2 <= count; k += 2) {
      const I pair = PairInt16(Load(e + k * e_stride + v), Mul(Set(inverse[k]), p),
                               Load(e + (k + 1) * e_stride + v), Mul(Set(inverse[k + 1]), p));
      StoreInts(weights + k / 2 * e_stride + v, pair);
    }
    if (k < count) {
      const V last = Load(e + k * e_stride + v);
      StoreInts(weights + k / 2 * e_stride + v,
                PairInt16(last, Mul(Set(inverse[k]), p), last, Zero()));
    }
  }
}

// O[kRows rows][kVectors vectors] = alpha O + factor P V over `key_pairs` of keys, or factor P V
// where `first`.
template <int kRows, int kVectors>
TAMIS_INLINE void Int16ValueTile(bool first, const int32_t* weights, int64_t weight_stride,
                                 const int32_t* values, int64_t value_stride, int64_t key_pairs,
                                 const float* alpha, const float* factor, float* out,
                                 int64_t out_stride) {
  I sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sum[r][v] = ZeroInts();
  }
  for (int64_t i = 0; i < key_pairs; ++i) {
    I row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = LoadInts(values + i * value_stride + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const I broadcast = BroadcastInts(&weights[i * weight_stride + r]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = DotInt16(broadcast, row[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    const V shrink = Set(alpha[r]);
    const V scale = Set(factor[r]);
    for (int v = 0; v < kVectors; ++v) {
      float* to = out + r * out_stride + v * kLanes;
      const V before = first ? Zero() : Mul(shrink, Load(to));
      Store(to, Fma(FloatsOf(sum[r][v]), scale, before));
    }
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

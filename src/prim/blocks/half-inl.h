// Widening and narrowing of 16-bit rows: the two dtypes stop here.
#pragma once

#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

struct F16 {
  static TAMIS_INLINE V LoadHalf(const uint16_t* p) { return LoadF16(p); }
  static TAMIS_INLINE V LoadHalfN(const uint16_t* p, int n) { return LoadF16N(p, n); }
  static TAMIS_INLINE void StoreHalf(uint16_t* p, V v) { StoreF16(p, v); }
  static TAMIS_INLINE void StoreHalfN(uint16_t* p, V v, int n) { StoreF16N(p, v, n); }
  static TAMIS_INLINE V Round(V v) { return RoundF16(v); }
};
struct BF16 {
  static TAMIS_INLINE V LoadHalf(const uint16_t* p) { return LoadBF16(p); }
  static TAMIS_INLINE V LoadHalfN(const uint16_t* p, int n) { return LoadBF16N(p, n); }
  static TAMIS_INLINE void StoreHalf(uint16_t* p, V v) { StoreBF16(p, v); }
  static TAMIS_INLINE void StoreHalfN(uint16_t* p, V v, int n) { StoreBF16N(p, v, n); }
  static TAMIS_INLINE V Round(V v) { return RoundBF16(v); }
};

template <class Half>
TAMIS_INLINE void WidenAs(const uint16_t* from, int64_t count, float* to) {
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) Store(to + c, Half::LoadHalf(from + c));
  if (c < count)
    StoreN(to + c, Half::LoadHalfN(from + c, static_cast<int>(count - c)),
           static_cast<int>(count - c));
}
TAMIS_INLINE void Widen(bool bfloat16, const uint16_t* from, int64_t count, float* to) {
  if (bfloat16) {
    WidenAs<BF16>(from, count, to);
  } else {
    WidenAs<F16>(from, count, to);
  }
}

// to = round(factor * from)
template <class Half>
TAMIS_INLINE void NarrowAs(const float* from, float factor, int64_t count, uint16_t* to) {
  const V f = Set(factor);
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) Half::StoreHalf(to + c, Mul(Load(from + c), f));
  if (c < count) {
    const int rest = static_cast<int>(count - c);
    Half::StoreHalfN(to + c, Mul(LoadN(from + c, rest), f), rest);
  }
}
TAMIS_INLINE void Narrow(bool bfloat16, const float* from, float factor, int64_t count,
                         uint16_t* to) {
  if (bfloat16) {
    NarrowAs<BF16>(from, factor, count, to);
  } else {
    NarrowAs<F16>(from, factor, count, to);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

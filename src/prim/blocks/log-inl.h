// The natural logarithm.
#pragma once

#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// ln x of positive normal numbers, to 2 ulp or 2^-24, whichever is more; NaN of a NaN and of an
// infinity. x = 2^n m with m from sqrt(1/2) to sqrt(2); ln m by the polynomial of Cephes' logf.
TAMIS_INLINE V Log(V x) {
  constexpr int32_t kSqrtHalf = 0x3f3504f3;  // its bits
  const I bits = AddInts(IntBits(x), SetInts(-kSqrtHalf));
  const V n =
      Mul(FloatsOf(AndInts(bits, SetInts(static_cast<int32_t>(0xff800000u)))), Set(0x1p-23f));
  const V m = FloatBits(AddInts(AndInts(bits, SetInts(0x007fffff)), SetInts(kSqrtHalf)));
  const V f = Sub(m, Set(1.0f));
  constexpr float kPolynomial[] = {-1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f,
                                   1.4249322787e-1f,  -1.6668057665e-1f, 2.0000714765e-1f,
                                   -2.4999993993e-1f, 3.3333331174e-1f};
  V p = Set(7.0376836292e-2f);
  for (const float c : kPolynomial) p = Fma(p, f, Set(c));
  const V square = Mul(f, f);
  V low = Mul(Mul(p, f), square);
  low = Fma(n, Set(-2.12194440e-4f), low);  // ln 2 is this and 0.693359375
  low = Fma(square, Set(-0.5f), low);
  const V y = Fma(n, Set(0.693359375f), Add(f, low));
  return Add(y, Sub(x, x));
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

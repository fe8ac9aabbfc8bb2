// The SIMD layer: one vector of floats V with kLanes lanes and the functions below, one header per
// level.
//
// A translation unit is compiled for one level: it defines TAMIS_LEVEL as scalar, avx2, avx2_vnni,
// avx512, avx512_vnni or avx512_bf16 and includes kernel bodies (`-inl.h`), which live in namespace
// tamis::TAMIS_LEVEL, inside an unnamed namespace: no symbol of theirs may be merged with another
// level's. For the same reason nothing of the C++ library is included in such a unit.
//
// Every level offers, with p unaligned and 0 <= n <= kLanes for the N forms (lanes past n: loads
// give 0, stores leave):
//
//   Zero() Set(x) Load(p) LoadN(p, n) Store(p, v) StoreN(p, v, n)
//   LoadF16 LoadF16N LoadBF16 LoadBF16N     exact
//   StoreF16 StoreF16N StoreBF16 StoreBF16N nearest even, NaN kept
//   RoundF16 RoundBF16                      the same rounding, in a register
//   LoadI8 LoadE4M3                         bytes: int8, fp8 e4m3fn; exact
//   Add Sub Mul Div Fma(a, b, c) = a b + c  Fma is fused except at level scalar
//   Sqrt(v)                                 to nearest
//   Max(a, b)                               b where either is NaN
//   IfPositive(a, b)                        b where a > 0, else 0
//   AllEqual(a, b)                          false where a lane is NaN
//   ExpNonPositive(x)                       e^x for x <= 0, NaN stays: below 2 ulp; 0 below -87.33
//   Transpose(V rows[kLanes])               in place
//   SumLanes(v)                             of all lanes, in any order
//   SumRows(rows)                           lane i is the sum of the lanes of rows[i]
//
// and, of 32-bit integers I:
//
//   ZeroInts() SetInts(x) FloatsOf(v)
//   LoadInts(p) StoreInts(p, v)             memory of any type, at any address
//   PairInt16(a, f, b, g)   lane: the 16-bit integers nearest to a f (low half) and b g, which fit
//   DotInt16(a, b, c) = a0 b0 + a1 b1 + c   of such pairs; kInt16: faster than Fma of floats, or
//                           scalar
//   DotInt8(a, b, c) = a0 b0 + ... + a3 b3 + c   of four bytes each: a unsigned, b signed
//
//   MagnitudesOf(v)         the bits of |v|: ordered as sizes are, infinity and NaN last
//   MaxInts(a, b) MaxLane(v)                by lane; of all lanes
//   MaxHalves(a, b)         by 16-bit half: the larger of a and |b|, the sign being the highest bit
//   MaxHalf(v)              of all halves, unsigned
//
//   AddInts(a, b) AndInts(a, b) SumInts(v)  by lane; of all lanes
//   FloatBits(v) IntBits(v) the same bits as floats, as integers
//   RoundInts(v)            the integers nearest to floats, ties to even
//   PairUpInts(a, b)        the low 16 bits of a, then those of b
//   AddHalves(a, b) SubHalves(a, b) ShiftHalves<bits>(v)    by 16-bit half; v >> bits
//   MixBytes(a, b) AddBytes(a, b)           low bytes of a's and b's halves in turn; by byte
//   NotBelow(a, b)          bit i: not a[i] < b[i], as where either is NaN
//
// of kRanks unsigned 64-bit integers R:
//
//   SetRank(x) MaxRanks(a, b) MinRanks(a, b) StoreRanks(p, v)
//   ShiftRanks(v, before)   the last of `before`, then all of v but its last
//
// and kBf16Pairs: whether products of bfloat16 are of pairs. Such a level has
//
//   Dot(a, b, c) = a0 b0 + a1 b1 + c        a lane of a or b holds a pair
//   LoadBf16Pairs(p, q) LoadBf16PairsN(p, q, n)     lane i becomes the pair of p[i] and q[i]
#pragma once

#include <stddef.h>
#include <stdint.h>

#if !defined(TAMIS_LEVEL)
#error "define TAMIS_LEVEL as the name of a header of a level before including a kernel"
#endif

#define TAMIS_LEVEL_HEADER(level) <simd/level.h>
#include TAMIS_LEVEL_HEADER(TAMIS_LEVEL)
#undef TAMIS_LEVEL_HEADER

#define TAMIS_INLINE inline __attribute__((always_inline))

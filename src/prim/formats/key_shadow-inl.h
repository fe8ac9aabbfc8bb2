// Writes the int8 shadow of keys (prim/formats/key_shadow.h).
#pragma once

#include "prim/blocks/elements-inl.h"
#include "prim/formats/key_shadow.h"

namespace tamis::TAMIS_LEVEL {
namespace {

constexpr int32_t kShadowOffset = 128;  // bytes of keys are unsigned

// Bytes of a row of integers, in the order of groups.
TAMIS_INLINE int64_t ShadowRowBytes(int64_t dim) { return tamis::prim::ShadowGroups(dim) * 4; }

template <class Element>
using RowOf = const typename Element::Stored*;

template <class Element>
TAMIS_INLINE V LoadUpTo(RowOf<Element> row, int64_t dims) {
  if (dims >= kLanes) return Element::LoadElements(row);
  return dims > 0 ? Element::LoadElementsN(row, static_cast<int>(dims)) : Zero();
}

// By 16-bit half, the largest magnitudes of a row; ordered as the values are, whichever type.
TAMIS_INLINE I MagnitudesOfRow(const uint16_t* row, int64_t dim) {
  constexpr int64_t kHalves = 2 * kLanes;
  I magnitude = ZeroInts();
  int64_t c = 0;
  for (; c + kHalves <= dim; c += kHalves) magnitude = MaxHalves(magnitude, LoadInts(row + c));
  if (c < dim) {
    uint16_t rest[kHalves] = {};
    __builtin_memcpy(rest, row + c, static_cast<size_t>(dim - c) * sizeof(*row));
    magnitude = MaxHalves(magnitude, LoadInts(rest));
  }
  return magnitude;
}

// Lane i becomes what Combine makes of the lanes of rows[i].
template <class Combine>
TAMIS_INLINE I CombineRows(const I* rows, const Combine& combine) {
  V lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = FloatBits(rows[i]);
  Transpose(lanes);
  I all = IntBits(lanes[0]);
  for (int i = 1; i < kLanes; ++i) all = combine(all, IntBits(lanes[i]));
  return all;
}

// The largest magnitude of a row; infinity or NaN where it has one.
template <class Element>
TAMIS_INLINE float MostOfRow(RowOf<Element> row, int64_t dim) {
  if constexpr (sizeof(*row) == sizeof(uint16_t)) {
    const uint16_t bits[kLanes] = {static_cast<uint16_t>(MaxHalf(MagnitudesOfRow(row, dim)))};
    float most[kLanes];
    Store(most, Element::LoadElements(bits));
    return most[0];
  } else {
    I most = ZeroInts();
    for (int64_t c = 0; c < dim; c += kLanes)
      most = MaxInts(most, MagnitudesOf(LoadUpTo<Element>(row + c, dim - c)));
    return __builtin_bit_cast(float, MaxLane(most));
  }
}

// The same of as many rows as there are lanes.
template <class Element>
TAMIS_INLINE V MostOfRows(const RowOf<Element>* rows, int64_t dim) {
  if constexpr (sizeof(**rows) == sizeof(uint16_t)) {
    I magnitudes[kLanes];
    for (int i = 0; i < kLanes; ++i) magnitudes[i] = MagnitudesOfRow(rows[i], dim);
    int32_t halves[kLanes];
    StoreInts(halves, CombineRows(
                          magnitudes,
                          [](I a, I b) __attribute__((always_inline)) { return MaxHalves(a, b); }));
    uint16_t bits[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int32_t high = halves[i] >> 16;  // the sign bit is clear
      const int32_t low = halves[i] & 0xffff;
      bits[i] = static_cast<uint16_t>(high > low ? high : low);
    }
    return Element::LoadElements(bits);
  } else {
    float most[kLanes];
    for (int i = 0; i < kLanes; ++i) most[i] = MostOfRow<Element>(rows[i], dim);
    return Load(most);
  }
}

// The integers of a row, plus `offset`, to `bytes` (ShadowRowBytes of them); by lane, sums of their
// squares and of the squares of what they leave.
template <class Element>
TAMIS_INLINE void QuantiseRow(RowOf<Element> row, int64_t dim, float factor, int32_t offset,
                              uint8_t* bytes, I* integers, I* rests) {
  const V scale = Set(factor);
  const I half = SetInts(0x00800080);
  const I low = SetInts(0x00ff00ff);
  const I added = SetInts(static_cast<int32_t>(static_cast<uint32_t>(offset) * 0x01010101u));
  *integers = ZeroInts();
  *rests = ZeroInts();
  const auto round = [&](int64_t d) __attribute__((always_inline)) {
    return RoundInts(Mul(LoadUpTo<Element>(row + d, dim - d), scale));
  };
  for (int64_t c = 0; c < ShadowRowBytes(dim); c += 64) {
    for (int64_t d = c; d < c + 16; d += kLanes) {
      I part[2];
      for (int i = 0; i < 2; ++i) {
        const I t = AddHalves(PairUpInts(round(d + 32 * i), round(d + 32 * i + 16)), half);
        part[i] = ShiftHalves<8>(t);
        const I rest = SubHalves(AndInts(t, low), half);
        *integers = DotInt16(part[i], part[i], *integers);
        *rests = DotInt16(rest, rest, *rests);
      }
      StoreInts(bytes + c + (d - c) * 4, AddBytes(MixBytes(part[0], part[1]), added));
    }
  }
}

// Whether integers are as the formula has them; a NaN is not.
TAMIS_INLINE bool HasIntegers(float most) {
  return most >= tamis::prim::kShadowLeast && most <= tamis::prim::kShadowMost;
}

template <class Element>
inline tamis::prim::ShadowBounds ShadowRow(RowOf<Element> row, int64_t dim, int32_t offset,
                                           uint8_t* bytes) {
  using namespace tamis::prim;
  if (dim == 0) return {0.0f, 0.0f, 0.0f};  // `bytes` may be null
  const float most = MostOfRow<Element>(row, dim);
  const float root = __builtin_sqrtf(static_cast<float>(dim));
  if (!HasIntegers(most)) {
    __builtin_memset(bytes, offset, static_cast<size_t>(ShadowRowBytes(dim)));
    return {0.0f, most < kShadowLeast ? 0x1p-99f * root : __builtin_inff(), 0.0f};
  }
  I integers;
  I rests;
  QuantiseRow<Element>(row, dim, 32512.0f / most, offset, bytes, &integers, &rests);
  const float scale = most / 127.0f;
  const float rounded = __builtin_sqrtf(static_cast<float>(SumInts(rests))) + 0.51f * root;
  const float norm = __builtin_sqrtf(static_cast<float>(SumInts(integers)));
  return {scale, (scale * rounded) * kErrorUnit, (scale * norm) * kNormUnit};
}

// The same as ShadowRow for as many rows as there are lanes, whose sums over the lanes, square
// roots and quotients are one of each: by row they were half of the time. Bounds go to `to`, lane
// by lane; false where a row needs ShadowRow.
template <class Element>
inline bool ShadowRows(const RowOf<Element>* rows, int64_t dim, uint8_t* bytes, float* scales,
                       float* errors, float* norms) {
  using namespace tamis::prim;
  const V most = MostOfRows<Element>(rows, dim);
  float each[kLanes];
  float factors[kLanes];
  Store(each, most);
  for (int i = 0; i < kLanes; ++i) {
    if (!HasIntegers(each[i])) return false;
  }
  Store(factors, Div(Set(32512.0f), most));
  I integers[kLanes];
  I rests[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    QuantiseRow<Element>(rows[i], dim, factors[i], kShadowOffset, bytes + i * ShadowRowBytes(dim),
                         &integers[i], &rests[i]);
  }
  const auto add = [](I a, I b) __attribute__((always_inline)) { return AddInts(a, b); };
  const V scale = Div(most, Set(127.0f));
  const V root = Set(0.51f * __builtin_sqrtf(static_cast<float>(dim)));
  const V rounded = Add(Sqrt(FloatsOf(CombineRows(rests, add))), root);
  const V norm = Sqrt(FloatsOf(CombineRows(integers, add)));
  Store(scales, scale);
  Store(errors, Mul(Mul(scale, rounded), Set(kErrorUnit)));
  Store(norms, Mul(Mul(scale, norm), Set(kNormUnit)));
  return true;
}

TAMIS_INLINE void StoreBounds(const tamis::prim::ShadowBounds& bounds, int64_t dim, int64_t key,
                              uint8_t* panel) {
  uint8_t* const to = panel + tamis::prim::ShadowScalesAt(dim) + key * 4;
  constexpr int64_t kStep = tamis::prim::kShadowKeys * 4;
  __builtin_memcpy(to, &bounds.scale, 4);
  __builtin_memcpy(to + kStep, &bounds.error, 4);
  __builtin_memcpy(to + 2 * kStep, &bounds.norm, 4);
}

// One key of a panel, which others may be writing other keys of. `bytes`: ShadowRowBytes.
template <class Element>
inline void ShadowKey(RowOf<Element> row, int64_t dim, int64_t key, uint8_t* bytes,
                      uint8_t* panel) {
  StoreBounds(ShadowRow<Element>(row, dim, kShadowOffset, bytes), dim, key, panel);
  for (int64_t g = 0; g < tamis::prim::ShadowGroups(dim); ++g)
    __builtin_memcpy(panel + (g * tamis::prim::kShadowKeys + key) * 4, bytes + g * 4, 4);
}

// A panel of rows[0, count); the other keys are those of a row of zeros. `bytes`: 16 times
// ShadowRowBytes.
template <class Element>
inline void ShadowPanelAs(const RowOf<Element>* rows, int64_t count, int64_t dim, uint8_t* bytes,
                          uint8_t* panel) {
  constexpr int64_t kKeys = tamis::prim::kShadowKeys;
  const int64_t stride = ShadowRowBytes(dim);
  float bounds[3][kKeys] = {};
  for (int64_t k = 0; k < count; k += kLanes) {
    if (kLanes > 1 && k + kLanes <= count &&
        ShadowRows<Element>(rows + k, dim, bytes + k * stride, bounds[0] + k, bounds[1] + k,
                            bounds[2] + k)) {
      continue;
    }
    for (int64_t i = k; i < count && i < k + kLanes; ++i) {
      const auto of_row = ShadowRow<Element>(rows[i], dim, kShadowOffset, bytes + i * stride);
      bounds[0][i] = of_row.scale;
      bounds[1][i] = of_row.error;
      bounds[2][i] = of_row.norm;
    }
  }
  if (count < kKeys && dim > 0)
    __builtin_memset(bytes + count * stride, kShadowOffset,
                     static_cast<size_t>((kKeys - count) * stride));
  __builtin_memcpy(panel + tamis::prim::ShadowScalesAt(dim), bounds, sizeof(bounds));
  const int64_t groups = tamis::prim::ShadowGroups(dim);
  if constexpr (kLanes > 1) {
    static_assert(kKeys % kLanes == 0);  // and groups are a multiple of 16
    for (int64_t k = 0; k < kKeys; k += kLanes) {
      for (int64_t g = 0; g < groups; g += kLanes) {
        V block[kLanes];
        for (int i = 0; i < kLanes; ++i)
          block[i] = FloatBits(LoadInts(bytes + (k + i) * stride + g * 4));
        Transpose(block);
        for (int i = 0; i < kLanes; ++i)
          StoreInts(panel + ((g + i) * kKeys + k) * 4, IntBits(block[i]));
      }
    }
  } else {
    for (int64_t k = 0; k < kKeys; ++k) {
      for (int64_t g = 0; g < groups; ++g)
        __builtin_memcpy(panel + (g * kKeys + k) * 4, bytes + k * stride + g * 4, 4);
    }
  }
}
TAMIS_INLINE void ShadowPanel(prim::Element element, const void* const* rows, int64_t count,
                              int64_t dim, uint8_t* bytes, uint8_t* panel) {
  WithElement(
      element, [&](auto e) __attribute__((always_inline)) {
        using Element = decltype(e);
        RowOf<Element> typed[tamis::prim::kShadowKeys];
        for (int64_t k = 0; k < count; ++k) typed[k] = static_cast<RowOf<Element>>(rows[k]);
        ShadowPanelAs<Element>(typed, count, dim, bytes, panel);
      });
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

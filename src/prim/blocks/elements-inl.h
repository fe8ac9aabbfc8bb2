// Rows of 16-bit or 32-bit elements as fp32, and back: dtypes stop here.
#pragma once

#include "prim/blocks/elements.h"
#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

struct F16 {
  using Stored = uint16_t;
  static TAMIS_INLINE V LoadElements(const uint16_t* p) { return LoadF16(p); }
  static TAMIS_INLINE V LoadElementsN(const uint16_t* p, int n) { return LoadF16N(p, n); }
  static TAMIS_INLINE void StoreElements(uint16_t* p, V v) { StoreF16(p, v); }
  static TAMIS_INLINE void StoreElementsN(uint16_t* p, V v, int n) { StoreF16N(p, v, n); }
  static TAMIS_INLINE V Round(V v) { return RoundF16(v); }
};
struct BF16 {
  using Stored = uint16_t;
  static TAMIS_INLINE V LoadElements(const uint16_t* p) { return LoadBF16(p); }
  static TAMIS_INLINE V LoadElementsN(const uint16_t* p, int n) { return LoadBF16N(p, n); }
  static TAMIS_INLINE void StoreElements(uint16_t* p, V v) { StoreBF16(p, v); }
  static TAMIS_INLINE void StoreElementsN(uint16_t* p, V v, int n) { StoreBF16N(p, v, n); }
  static TAMIS_INLINE V Round(V v) { return RoundBF16(v); }
};
struct F32 {
  using Stored = float;
  static TAMIS_INLINE V LoadElements(const float* p) { return Load(p); }
  static TAMIS_INLINE V LoadElementsN(const float* p, int n) { return LoadN(p, n); }
  static TAMIS_INLINE void StoreElements(float* p, V v) { Store(p, v); }
  static TAMIS_INLINE void StoreElementsN(float* p, V v, int n) { StoreN(p, v, n); }
  static TAMIS_INLINE V Round(V v) { return v; }
};

template <class Element>
constexpr auto kBytes = static_cast<int64_t>(sizeof(typename Element::Stored));

// Of elements from `data` on, that `at` elements later.
template <class Element>
TAMIS_INLINE const typename Element::Stored* ElementAt(const void* data, int64_t at) {
  return static_cast<const typename Element::Stored*>(data) + at;
}
template <class Element>
TAMIS_INLINE typename Element::Stored* ElementAt(void* data, int64_t at) {
  return static_cast<typename Element::Stored*>(data) + at;
}

// body(F16()), body(BF16()) or body(F32()). Levels of bfloat16 pairs meet no other type
// (KernelTable::at).
template <class Body>
TAMIS_INLINE auto WithElement(prim::Element element, const Body& body) {
  if constexpr (kBf16Pairs) {
    return body(BF16());
  } else {
    switch (element) {
      case prim::Element::kFloat16: return body(F16());
      case prim::Element::kFloat32: return body(F32());
      default: return body(BF16());
    }
  }
}

// The same for what has 16 bits.
template <class Body>
TAMIS_INLINE auto WithHalf(prim::Element element, const Body& body) {
  if constexpr (kBf16Pairs) {
    return body(BF16());
  } else {
    return element == prim::Element::kBFloat16 ? body(BF16()) : body(F16());
  }
}

template <class Element>
TAMIS_INLINE void WidenAs(const typename Element::Stored* from, int64_t count, float* to) {
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) Store(to + c, Element::LoadElements(from + c));
  if (c < count)
    StoreN(to + c, Element::LoadElementsN(from + c, static_cast<int>(count - c)),
           static_cast<int>(count - c));
}
TAMIS_INLINE void Widen(prim::Element element, const void* from, int64_t count, float* to) {
  WithElement(
      element, [&](auto e) __attribute__((always_inline)) {
        using Element = decltype(e);
        WidenAs<Element>(static_cast<const typename Element::Stored*>(from), count, to);
      });
}

// to = round(factor * from)
template <class Element>
TAMIS_INLINE void NarrowAs(const float* from, float factor, int64_t count,
                           typename Element::Stored* to) {
  const V f = Set(factor);
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) Element::StoreElements(to + c, Mul(Load(from + c), f));
  if (c < count) {
    const int rest = static_cast<int>(count - c);
    Element::StoreElementsN(to + c, Mul(LoadN(from + c, rest), f), rest);
  }
}
TAMIS_INLINE void Narrow(prim::Element element, const float* from, float factor, int64_t count,
                         void* to) {
  WithElement(
      element, [&](auto e) __attribute__((always_inline)) {
        using Element = decltype(e);
        NarrowAs<Element>(from, factor, count, static_cast<typename Element::Stored*>(to));
      });
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

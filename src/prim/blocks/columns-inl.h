// What products multiply: a column is a dim in fp32 or, at levels whose products are of bfloat16
// pairs, two dims in bfloat16 in the place of one fp32. Such rows are copied, not widened, and an
// instruction does twice the work.
#pragma once

#include "prim/blocks/elements-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

constexpr int kColumnDims = kBf16Pairs ? 2 : 1;

TAMIS_INLINE int64_t ColumnsOf(int64_t dims) { return (dims + kColumnDims - 1) / kColumnDims; }

// A template, so that only levels of such pairs look for Dot; likewise LoadRows.
template <class Vector>
TAMIS_INLINE Vector MultiplyAdd(Vector a, Vector b, Vector c) {
  if constexpr (kBf16Pairs) {
    return Dot(a, b, c);
  } else {
    return Fma(a, b, c);
  }
}

// The columns of up to `dims` dims of a row; the rest of the vector is 0.
template <class Element>
TAMIS_INLINE V LoadColumns(const typename Element::Stored* row, int64_t dims) {
  if constexpr (!kBf16Pairs) {
    return dims < kLanes ? Element::LoadElementsN(row, static_cast<int>(dims))
                         : Element::LoadElements(row);
  } else {
    static_assert(sizeof(*row) == sizeof(uint16_t));
    if (dims >= kColumnDims * kLanes) return FloatBits(LoadInts(row));
    float columns[kLanes] = {};
    __builtin_memcpy(columns, row, static_cast<size_t>(dims) * sizeof(*row));
    return Load(columns);
  }
}

// A row as columns.
template <class Element>
TAMIS_INLINE void SpreadAs(const typename Element::Stored* row, int64_t dims, float* columns) {
  constexpr int64_t kDims = kColumnDims * kLanes;
  int64_t d = 0;
  for (; d + kDims <= dims; d += kDims)
    Store(columns + d / kColumnDims, LoadColumns<Element>(row + d, kDims));
  if (d < dims) {
    StoreN(columns + d / kColumnDims, LoadColumns<Element>(row + d, dims - d),
           static_cast<int>(ColumnsOf(dims - d)));
  }
}
TAMIS_INLINE void Spread(prim::Element element, const void* row, int64_t dims, float* columns) {
  WithElement(
      element, [&](auto e) __attribute__((always_inline)) {
        using Element = decltype(e);
        SpreadAs<Element>(static_cast<const typename Element::Stored*>(row), dims, columns);
      });
}

// Column `at` of a matrix whose rows lie `step` apart: the values of one dim or of two side by
// side, as many as there are lanes; from n on 0.
template <class Element, class Value>
TAMIS_INLINE V LoadRows(const Value* at, [[maybe_unused]] int64_t step) {
  if constexpr (kBf16Pairs) {
    return LoadBf16Pairs(at, at + step);
  } else {
    return Element::LoadElements(at);
  }
}
template <class Element, class Value>
TAMIS_INLINE V LoadRowsN(const Value* at, [[maybe_unused]] int64_t step, int n) {
  if constexpr (kBf16Pairs) {
    return LoadBf16PairsN(at, at + step, n);
  } else {
    return Element::LoadElementsN(at, n);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

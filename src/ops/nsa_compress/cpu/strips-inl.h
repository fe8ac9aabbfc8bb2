// What the kernels of compression and of its gradient are made of: strips of a row of one head, and
// the weights.
#pragma once

#include "prim/blocks/elements-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace compress {

template <class Element>
using Stored = typename Element::Stored;

// kVectors vectors of a row, or the first `count` elements of one: what every step works on.
template <class Element, int kVectors, bool kPartial>
struct Strip {
  static TAMIS_INLINE V LoadTokens(const Stored<Element>* p, int v, int count) {
    return kPartial ? Element::LoadElementsN(p, count) : Element::LoadElements(p + v * kLanes);
  }
  static TAMIS_INLINE void StoreRow(Stored<Element>* p, const V* sum, int count) {
    if (kPartial) return Element::StoreElementsN(p, sum[0], count);
    for (int v = 0; v < kVectors; ++v) Element::StoreElements(p + v * kLanes, sum[v]);
  }
  // Rows of one head lie a row of all heads apart, which the hardware does not foresee: without
  // this a core read a third of what it can.
  static TAMIS_INLINE void Prefetch(const Stored<Element>* p) {
    constexpr int kLine = 64 / sizeof(*p);
    for (int i = 0; i < kVectors * kLanes; i += kLine) __builtin_prefetch(p + i);
  }
};

// A cache line of a row at a time: with two the prefetches of a stride are 4 KiB, and some are
// lost.
constexpr int kLineVectors = kLanes == 16 ? 2 : 4;

// Calls step.template operator()<kVectors, kPartial>(column, count) over the columns of a head.
template <class Step>
TAMIS_INLINE void ForColumns(int64_t dim, Step&& step) {
  int64_t c = 0;
  for (; c + kLineVectors * kLanes <= dim; c += kLineVectors * kLanes)
    step.template operator()<kLineVectors, false>(c, kLanes);
  for (; c + kLanes <= dim; c += kLanes) step.template operator()<1, false>(c, kLanes);
  if (c < dim) step.template operator()<1, true>(c, static_cast<int>(dim - c));
}

// Weights of some heads as [head][token], fp32.
template <class Element>
void WidenWeights(const void* weight, int64_t row_stride, int64_t block, int64_t heads,
                  float* weights) {
  for (int64_t w = 0; w < block; ++w) {
    const Stored<Element>* const row = ElementAt<Element>(weight, w * row_stride);
    for (int64_t h = 0; h < heads; ++h)
      StoreN(weights + h * block + w, Element::LoadElementsN(row + h, 1), 1);
  }
}

}  // namespace compress
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

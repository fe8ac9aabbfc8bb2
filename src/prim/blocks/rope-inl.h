// Rotary embedding of one row: y = u cos + (-u[half..], u[..half]) sin, where u is x, or x with its
// even elements first (interleaved in, halves out). The halves of cos and sin may differ.
#pragma once

#include "prim/blocks/elements-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

/// Floats of scratch for one row.
constexpr int64_t RopeScratchFloats(int64_t dim) { return 3 * dim; }

// `to` may be x.
template <class Element>
TAMIS_INLINE void Rope(const typename Element::Stored* x, const float* sin, const float* cos,
                       int64_t dim, bool interleaved, float* scratch,
                       typename Element::Stored* to) {
  float* const row = scratch;
  float* const u = row + dim;
  float* const turned = u + dim;
  const int64_t half = dim / 2;
  WidenAs<Element>(x, dim, row);
  for (int64_t c = 0; c < half; ++c) {
    u[c] = row[interleaved ? 2 * c : c];
    u[half + c] = row[interleaved ? 2 * c + 1 : half + c];
    turned[c] = -u[half + c];
    turned[half + c] = u[c];
  }
  int64_t c = 0;
  for (; c + kLanes <= dim; c += kLanes) {
    Element::StoreElements(to + c,
                           Fma(Load(turned + c), Load(sin + c), Mul(Load(u + c), Load(cos + c))));
  }
  if (c < dim) {
    const int n = static_cast<int>(dim - c);
    const V product = Mul(LoadN(u + c, n), LoadN(cos + c, n));
    Element::StoreElementsN(to + c, Fma(LoadN(turned + c, n), LoadN(sin + c, n), product), n);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// RMS norm and layer norm of one row. Sums run lane by lane in the order of the row: they depend on
// its length only.
#pragma once

#include "prim/blocks/elements-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

TAMIS_INLINE float SumOfLanes(V v) {
  float lanes[kLanes];
  Store(lanes, v);
  float total = lanes[0];
  for (int i = 1; i < kLanes; ++i) total += lanes[i];
  return total;
}

// Calls step(column, count) for whole vectors, then for the rest.
template <class Step>
TAMIS_INLINE void ForVectors(int64_t dim, const Step& step) {
  int64_t c = 0;
  for (; c + kLanes <= dim; c += kLanes) step(c, kLanes);
  if (c < dim) step(c, static_cast<int>(dim - c));
}

TAMIS_INLINE float SumOfRow(const float* x, int64_t dim) {
  V sum = Zero();
  ForVectors(dim, [&](int64_t c, int n) { sum = Add(sum, LoadN(x + c, n)); });
  return SumOfLanes(sum);
}
TAMIS_INLINE float SumOfSquares(const float* x, int64_t dim) {
  V sum = Zero();
  ForVectors(dim, [&](int64_t c, int n) {
    const V v = LoadN(x + c, n);
    sum = Fma(v, v, sum);
  });
  return SumOfLanes(sum);
}

// to = x / sqrt(mean(x^2) + epsilon) * gamma. `to` may be x; `row` holds dim floats.
template <class Element>
TAMIS_INLINE void RmsNorm(const typename Element::Stored* x, const typename Element::Stored* gamma,
                          int64_t dim, float epsilon, float* row, typename Element::Stored* to) {
  WidenAs<Element>(x, dim, row);
  const float mean = SumOfSquares(row, dim) / static_cast<float>(dim);
  const V factor = Set(1.0f / __builtin_sqrtf(mean + epsilon));
  ForVectors(dim, [&](int64_t c, int n) {
    const V v = Mul(LoadN(row + c, n), factor);
    Element::StoreElementsN(to + c, Mul(v, Element::LoadElementsN(gamma + c, n)), n);
  });
}

// to = (x - mean) / sqrt(variance + epsilon) * gamma + beta. Overwrites x with x - mean.
template <class Element>
TAMIS_INLINE void LayerNorm(float* x, const typename Element::Stored* gamma,
                            const typename Element::Stored* beta, int64_t dim, float epsilon,
                            typename Element::Stored* to) {
  const V mean = Set(SumOfRow(x, dim) / static_cast<float>(dim));
  ForVectors(dim, [&](int64_t c, int n) { StoreN(x + c, Sub(LoadN(x + c, n), mean), n); });
  const float variance = SumOfSquares(x, dim) / static_cast<float>(dim);
  const V factor = Set(1.0f / __builtin_sqrtf(variance + epsilon));
  ForVectors(dim, [&](int64_t c, int n) {
    const V v = Mul(LoadN(x + c, n), factor);
    Element::StoreElementsN(
        to + c, Fma(v, Element::LoadElementsN(gamma + c, n), Element::LoadElementsN(beta + c, n)),
        n);
  });
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

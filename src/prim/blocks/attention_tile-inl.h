// What attention kernels have in common, beside the product: queries transposed into a panel, the
// online softmax of a tile, and the weighted sum of its values. Rows (tokens x heads) lie on the
// lanes; scores are held transposed, [key][row].
#pragma once

#include "prim/blocks/product_tile-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// kLanes rows as panel[column][lane], a block of lanes x lanes at a time. Null rows are 0.
template <class Element>
TAMIS_INLINE void PackRowsAs(const void* const (&from)[kLanes], int64_t dim, float* panel) {
  using Stored = typename Element::Stored;
  constexpr int64_t kDims = kBf16Pairs ? 2 * kLanes : kLanes;
  for (int64_t c = 0; c < dim; c += kDims) {
    V block[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      block[i] = from[i] == nullptr
                     ? Zero()
                     : LoadColumns<Element>(static_cast<const Stored*>(from[i]) + c, dim - c);
    }
    Transpose(block);
    const int64_t columns = ColumnsOf(dim - c < kDims ? dim - c : kDims);
    for (int64_t i = 0; i < columns; ++i) Store(panel + (ColumnsOf(c) + i) * kLanes, block[i]);
  }
}
TAMIS_INLINE void PackRows(prim::Element element, const void* const (&from)[kLanes], int64_t dim,
                           float* panel) {
  WithElement(
      element, [&](auto e)
                   __attribute__((always_inline)) { PackRowsAs<decltype(e)>(from, dim, panel); });
}

// What a softmax may do beside its own with the e of a vector of rows: here nothing.
struct NothingElse {
  TAMIS_INLINE void Begin() {}
  TAMIS_INLINE void Take(int64_t /*key*/, V /*e*/) {}
  TAMIS_INLINE void End(int64_t /*row*/) {}
};

// Replaces the scores of `count` keys by e = exp(score - running max); alpha becomes the factor by
// which earlier sums shrink. `stride` is that of a key's scores; `vectors` of rows are in use.
template <class Also = NothingElse>
TAMIS_INLINE void SoftmaxTile(int64_t vectors, int64_t stride, int64_t count, float* scores,
                              float* max, float* sum, float* alpha, Also also = {}) {
  for (int64_t v = 0; v < vectors * kLanes; v += kLanes) {
    const V before = Load(max + v);
    V now = before;
    for (int64_t k = 0; k < count; ++k) now = Max(now, Load(scores + k * stride + v));
    V total = Zero();
    also.Begin();
    for (int64_t k = 0; k < count; ++k) {
      const V e = ExpNonPositive(Sub(Load(scores + k * stride + v), now));
      Store(scores + k * stride + v, e);
      total = Add(total, e);
      also.Take(k, e);
    }
    also.End(v);
    const V shrink = AllEqual(before, now) ? Set(1.0f) : ExpNonPositive(Sub(before, now));
    Store(alpha + v, shrink);
    Store(max + v, now);
    Store(sum + v, Fma(Load(sum + v), shrink, total));
  }
}

// O[kRows rows][kVectors vectors] = alpha O + e V over `count` keys, or e V where `first`. Row k of
// e begins at e + k * e_stride, of V at values + k * value_stride.
template <int kRows, int kVectors>
TAMIS_INLINE void ValueTile(bool first, const float* e, int64_t e_stride, const float* values,
                            int64_t value_stride, int64_t count, const float* alpha, float* out,
                            int64_t out_stride) {
  V sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    const V factor = Set(alpha[r]);
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = first ? Zero() : Mul(factor, Load(out + r * out_stride + v * kLanes));
    }
  }
  for (int64_t k = 0; k < count; ++k) {
    V row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = Load(values + k * value_stride + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const V broadcast = Set(e[k * e_stride + r]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Fma(broadcast, row[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) Store(out + r * out_stride + v * kLanes, sum[r][v]);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

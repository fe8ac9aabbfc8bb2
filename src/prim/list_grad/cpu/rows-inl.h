// Rows of a query token, as products over its list take them.
#pragma once

#include "prim/blocks/gradients-inl.h"
#include "prim/list_grad/cpu/positions-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace list_grad {

// `count` heads of a token as panels of `columns` columns, from column `first` on.
inline void PackHeads(prim::Element element, const prim::attention::Heads& heads, int64_t count,
                      const Sequence& s, int64_t token, int64_t dims, int64_t columns,
                      int64_t first, float* panels) {
  for (int64_t v = 0; v < count; v += kLanes) {
    const void* from[kLanes];
    for (int64_t i = 0; i < kLanes; ++i)
      from[i] = v + i < count ? HeadAt(heads, s, token, v + i) : nullptr;
    PackRows(element, from, dims, panels + v * columns + first * kLanes);
  }
}

// A tile of `count` positions' rows as columns, from column `first` on; those past the last are 0.
inline void SpreadTile(prim::Element element, const prim::attention::Rows& rows, const Sequence& s,
                       const int32_t* positions, int64_t count, int64_t dims, int64_t first,
                       int64_t stride, float* tile) {
  for (int64_t k = 0; k < count; ++k)
    Spread(element, RowAt(rows, s, positions[k]), dims, tile + k * stride + first);
  for (int64_t k = count; k < kTileKeys; ++k) {
    for (int64_t c = 0; c < ColumnsOf(dims); ++c) tile[k * stride + first + c] = 0.0f;
  }
}

// Largest scores and 1 / sums of `heads` heads of a token; heads past the last, up to `stride`,
// have probabilities of 0.
inline void LoadStatistics(const float* max, const float* sum, int64_t heads, int64_t stride,
                           float* to_max, float* to_factor) {
  for (int64_t h = 0; h < stride; ++h) {
    to_max[h] = h < heads ? max[h] : 0.0f;
    to_factor[h] = h < heads ? 1.0f / sum[h] : 0.0f;
  }
}

}  // namespace list_grad
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// Merges the lists of a row, orders them and writes indices and values. A few thousand ranks a row:
// no -m flags needed.
#include <limits>

#include "base/dtype.h"
#include "ops/lightning_indexer/cpu/kernel.h"
#include "tamis/tensor.hpp"

namespace tamis::lightning_indexer {

void FinishRow(const void* args, int64_t row_index, void* scratch, void* shared) {
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Row& row = a.rows[row_index];
  prim::Selector selector = prim::MakeSelector(static_cast<uint64_t*>(scratch), a.keep);
  for (int64_t i = 0; i < row.lists; ++i) {
    const uint64_t* list = ListOf(a, shared, row.list + i * row.list_stride);
    prim::OfferRanks(&selector, list + 1, static_cast<int64_t>(list[0]));
  }
  const int64_t count = prim::Finish(&selector);
  int32_t* indices = a.indices + OffsetOf(a.indices_at, row.batch, row.token);
  for (int64_t i = 0; i < a.sparse_count; ++i)
    indices[i] = i < count ? prim::IndexOfRank(selector.ranks[i]) : -1;
  if (a.values == nullptr) return;
  const bool half = !a.values_float32 && a.element != prim::Element::kFloat32;
  const DType dtype = !half                                   ? DType::kFloat32
                      : a.element == prim::Element::kBFloat16 ? DType::kBFloat16
                                                              : DType::kFloat16;
  for (int64_t i = 0; i < a.sparse_count; ++i) {
    const float value =
        i < count ? prim::ScoreOfRank(selector.ranks[i]) : -std::numeric_limits<float>::infinity();
    base::StoreDouble(a.values, dtype, OffsetOf(a.values_at, row.batch, row.token) + i,
                      static_cast<double>(value));
  }
}

}  // namespace tamis::lightning_indexer

#include "prim/formats/weight.h"

#include <limits>

#include "base/contract.h"
#include "base/errors.h"

namespace tamis::prim {

Status CheckWeight(std::string_view name, const TensorView& view, WeightFormat format) {
  if (format == WeightFormat::kNd || view.absent()) return Status::Ok();
  const int64_t rows = view.shape[0];
  const int64_t columns = view.shape[1];
  if (rows % kNzColumns != 0 || columns % kNzColumns != 0) {
    return base::Invalid(name, "in NZ, sizes that are multiples of 16", base::ShapeText(view));
  }
  if (rows > 1 && columns > 0 && view.strides[0] != columns)
    return base::Invalid(name, "in NZ, a dense tensor",
                         "rows of stride " + std::to_string(view.strides[0]));
  return Status::Ok();
}

LinearWeight WeightOf(const TensorView& view, WeightFormat format) {
  if (view.absent()) return {};
  LinearWeight weight = NdWeight(view);
  weight.nz = format == WeightFormat::kNz;
  return weight;
}

LinearWeight NdWeight(const TensorView& view) {
  const int64_t rows = view.shape[view.rank - 2];
  const int64_t columns = view.shape[view.rank - 1];
  // The stride of a single row may be anything.
  const int64_t stride = rows > 1 ? view.strides[view.rank - 2] : columns;
  return {.data = view.data, .rows = rows, .columns = columns, .row_stride = stride, .nz = false};
}

int64_t OffsetOf(const LinearWeight& weight, int64_t k, int64_t n) {
  if (!weight.nz) return k * weight.row_stride + n;
  return (n / kNzColumns * weight.rows + k) * kNzColumns + n % kNzColumns;
}

TokenStrides TokenStridesOf(const TensorView& view, bool batched) {
  if (view.absent()) return {1, 0, 0};
  if (!batched) return {std::numeric_limits<int64_t>::max(), 0, view.strides[0]};
  return {view.shape[1] > 0 ? view.shape[1] : 1, view.strides[0], view.strides[1]};
}

}  // namespace tamis::prim

#include "base/golden.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"

namespace tamis::base {
namespace {

// Element offset of row `row` (leading dimensions flattened, in order).
int64_t RowOffset(const TensorView& view, int row_dims, int64_t row) {
  int64_t offset = 0;
  for (int i = row_dims - 1; i >= 0; --i) {
    offset += row % view.shape[i] * view.strides[i];
    row /= view.shape[i];
  }
  return offset;
}

// Of float64; longer vectors would throw what is no refusal of memory.
constexpr int64_t kMostElems = int64_t{1} << 56;
Status TooManyRows() {
  return {StatusCode::kNoMemory, "host memory: the reference needs more than 2^59 bytes"};
}

}  // namespace

bool WritesAny(const Contract& contract, const void* params) {
  return std::any_of(contract.fields.begin(), contract.fields.end(), [&](const Field& field) {
    if (!field.is_output()) return false;
    const TensorView& view = Contract::tensor(params, field);
    const int64_t* const end = view.shape + view.rank;
    return !view.absent() && std::find(view.shape, end, 0) == end;
  });
}

Status CountRows(const Contract& contract, const void* params, const Dims& dims, int64_t* rows) {
  *rows = 0;
  if (!contract.rows.empty()) {
    *rows = dims[contract.rows];
    return Status::Ok();
  }
  for (const Field& field : contract.fields) {
    if (!field.is_output() || field.is_updated()) continue;
    DType dtype = DType::kNone;
    std::vector<int64_t> shape;
    TAMIS_RETURN_IF_ERROR(contract.OutputShape(field, params, dims, &dtype, &shape));
    *rows = 1;
    for (int i = 0; i < contract.RowDimsOf(field, params); ++i) {
      if (!CheckedMul(*rows, shape[static_cast<size_t>(i)], rows)) return TooManyRows();
    }
    break;
  }
  return Status::Ok();
}

Status PrepareGolden(const Contract& contract, const void* params, const Dims& dims,
                     Golden* golden) {
  golden->outputs.clear();
  const size_t rows = golden->rows.size();
  for (const Field& field : contract.fields) {
    if (!field.is_output()) continue;
    DType dtype = DType::kNone;
    std::vector<int64_t> shape;
    if (field.is_updated()) {
      const TensorView& view = Contract::tensor(params, field);
      shape.assign(view.shape, view.shape + view.rank);
    } else if (contract.Missing(field, params) != nullptr) {
      shape.assign(static_cast<size_t>(contract.RowDimsOf(field, params)) + 1, 0);
    } else {
      TAMIS_RETURN_IF_ERROR(contract.OutputShape(field, params, dims, &dtype, &shape));
    }
    GoldenOutput output;
    output.rows = golden->rows;
    if (!contract.rows.empty() || field.is_updated()) output.rows.assign(rows, -1);
    output.row_elems = 1;
    for (auto i = static_cast<size_t>(contract.RowDimsOf(field, params)); i < shape.size(); ++i) {
      if (!CheckedMul(output.row_elems, shape[i], &output.row_elems)) return TooManyRows();
    }
    int64_t all = 0;
    if (!CheckedMul(output.row_elems, static_cast<int64_t>(rows), &all) || all > kMostElems)
      return TooManyRows();
    const auto elems = static_cast<size_t>(all);
    output.value.assign(elems, 0.0);
    output.bound.assign(elems, 0.0);
    output.device_bound.assign(elems, 0.0);
    if (field.ranked) {
      const auto lists = static_cast<size_t>(shape[shape.size() - 2]);
      output.scores.resize(rows * lists);
      output.score_bound.assign(rows * lists, 0.0);
    }
    golden->outputs.push_back(std::move(output));
  }
  return Status::Ok();
}

void StoreGolden(const Contract& contract, const void* params, const Golden& golden) {
  size_t index = 0;
  for (const Field& field : contract.fields) {
    if (!field.is_output()) continue;
    const GoldenOutput& output = golden.outputs[index++];
    const TensorView& view = Contract::tensor(params, field);
    if (view.absent() || output.row_elems == 0) continue;
    const int row_dims = contract.RowDimsOf(field, params);
    const int inner_dims = view.rank - row_dims;
    TensorView inner = view;
    for (int i = 0; i < inner_dims; ++i) {
      inner.shape[i] = view.shape[row_dims + i];
      inner.strides[i] = view.strides[row_dims + i];
    }
    for (size_t slot = 0; slot < golden.rows.size(); ++slot) {
      if (output.rows[slot] < 0) continue;
      const int64_t base = RowOffset(view, row_dims, output.rows[slot]);
      for (int64_t e = 0; e < output.row_elems; ++e) {
        StoreDouble(
            view.data, view.dtype, base + RowOffset(inner, inner_dims, e),
            output.value[slot * static_cast<size_t>(output.row_elems) + static_cast<size_t>(e)]);
      }
    }
  }
}

double Fp32SumBound(double terms, double magnitude) {
  return 8.0 * std::sqrt(std::max(terms, 1.0)) * 0x1p-24 * magnitude;
}

double RoundingBound(DType dtype, double value) {
  const double size = std::fabs(value);
  switch (dtype) {
    case DType::kFloat16: return std::max(size * 0x1p-11, 0x1p-25);
    case DType::kBFloat16: return std::max(size * 0x1p-8, 0x1p-134);
    case DType::kFloat32: return std::max(size * 0x1p-24, 0x1p-150);
    default: return 0;
  }
}

}  // namespace tamis::base

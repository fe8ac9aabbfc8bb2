#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/weight_format/problem.h"
#include "prim/call/room.h"
#include "prim/formats/weight.h"

namespace tamis::weight_format {
namespace {

// Rows of an item: 128 B of each are panels that share every line from L1.
constexpr int64_t kRowsPerItem = 64;

char* RowOfPanel(const prim::LinearWeight& w, int64_t bytes, int64_t k, int64_t n) {
  return static_cast<char*>(const_cast<void*>(w.data)) + prim::OffsetOf(w, k, n) * bytes;
}

// Compiled once, without -m flags: it only copies.
void Convert(const void* args, int64_t item, void*, void*) {
  const auto& a = *static_cast<const KernelArgs*>(args);
  const int64_t begin = item * kRowsPerItem;
  const int64_t end = std::min(a.from.rows, begin + kRowsPerItem);
  for (int64_t n = 0; n < a.from.columns; n += prim::kNzColumns) {
    for (int64_t k = begin; k < end; ++k)
      std::memcpy(RowOfPanel(a.to, a.bytes, k, n), RowOfPanel(a.from, a.bytes, k, n),
                  static_cast<size_t>(prim::kNzColumns * a.bytes));
  }
}

// Whichever side is NZ, both sizes must be multiples of 16.
Status CheckSizes(const TensorView& weight) {
  TensorView dense = weight;
  dense.strides[0] = dense.shape[1];
  return prim::CheckWeight("weight", dense, WeightFormat::kNz);
}

}  // namespace

Status NdToNz::Normalise(const Params& params, base::Dims*, Problem* problem) {
  problem->from = WeightFormat::kNd;
  problem->to = WeightFormat::kNz;
  return CheckSizes(params.weight);
}

Status NdToNz::CheckStrides(const Problem&, const Params& in) {
  return prim::CheckWeight("output", in.output, WeightFormat::kNz);
}

Status NzToNd::Normalise(const Params& params, base::Dims*, Problem* problem) {
  problem->from = WeightFormat::kNz;
  problem->to = WeightFormat::kNd;
  return CheckStrides(*problem, params);
}

Status NzToNd::CheckStrides(const Problem&, const Params& in) {
  return prim::CheckWeight("weight", in.weight, WeightFormat::kNz);
}

void Steps::BindWeights(const TensorView& weight, const TensorView& output, const Problem& problem,
                        KernelArgs* args) {
  *args = {.from = prim::WeightOf(weight, problem.from),
           .to = prim::WeightOf(output, problem.to),
           .bytes = base::ItemSize(weight.dtype)};
}

void Steps::MakeWork(const KernelArgs& args, prim::CpuWork* work) {
  // Rows without columns are the caller's word alone, and may be any number.
  const int64_t rows = args.from.columns > 0 ? args.from.rows : 0;
  work->phases = {{base::CeilDiv(rows, kRowsPerItem), &Convert}};
}

Cost Steps::CostOf(const TensorView& weight) {
  Cost cost;
  cost.read_bytes = static_cast<double>(base::ItemSize(weight.dtype)) *
                    static_cast<double>(weight.shape[0]) * static_cast<double>(weight.shape[1]);
  cost.write_bytes = cost.read_bytes;
  return cost;
}

}  // namespace tamis::weight_format

namespace tamis::nd_to_nz {

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<weight_format::NdToNz>(params, context);
}
Status run(const Params& params, const Context& context) {
  return prim::RunOnce<weight_format::NdToNz>(params, context);
}

}  // namespace tamis::nd_to_nz

namespace tamis::nz_to_nd {

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<weight_format::NzToNd>(params, context);
}
Status run(const Params& params, const Context& context) {
  return prim::RunOnce<weight_format::NzToNd>(params, context);
}

}  // namespace tamis::nz_to_nd

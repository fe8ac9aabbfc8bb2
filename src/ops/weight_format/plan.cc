#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/weight_format/problem.h"
#include "prim/linear.h"
#include "prim/room.h"

namespace tamis::weight_format {
namespace {

// Rows of an item: 128 B of each are two panels, which then share every line from L1.
constexpr int64_t kRowsPerItem = 64;

uint16_t* Row16(const prim::LinearWeight& w, int64_t k, int64_t n) {
  return const_cast<uint16_t*>(w.data) + prim::OffsetOf(w, k, n);
}

// Compiled once, without -m flags: it only copies.
void Convert(const void* args, int64_t item, void*, void*) {
  const auto& p = *static_cast<const Problem*>(args);
  const int64_t begin = item * kRowsPerItem;
  const int64_t end = std::min(p.from.rows, begin + kRowsPerItem);
  for (int64_t n = 0; n < p.from.columns; n += prim::kNzColumns) {
    for (int64_t k = begin; k < end; ++k)
      std::memcpy(Row16(p.to, k, n), Row16(p.from, k, n), prim::kNzColumns * sizeof(uint16_t));
  }
}

// The output is checked by its contract only after this; here it may be anything.
Status Normalise(const TensorView& weight, WeightFormat from, const TensorView& output,
                 WeightFormat to, Problem* problem) {
  problem->dtype = weight.dtype;
  // Both sizes must be multiples of 16, whichever side is NZ.
  TensorView dense = weight;
  dense.strides[0] = dense.shape[1];
  TAMIS_RETURN_IF_ERROR(prim::NormaliseWeight("weight", dense, WeightFormat::kNz, &problem->from));
  TAMIS_RETURN_IF_ERROR(prim::NormaliseWeight("weight", weight, from, &problem->from));
  if (output.absent() || output.rank != 2) return Status::Ok();
  return prim::NormaliseWeight("output", output, to, &problem->to);
}

}  // namespace

Status NdToNz::Normalise(const Params& params, base::Dims*, Problem* problem) {
  return weight_format::Normalise(params.weight, WeightFormat::kNd, params.output,
                                  WeightFormat::kNz, problem);
}

Status NzToNd::Normalise(const Params& params, base::Dims*, Problem* problem) {
  return weight_format::Normalise(params.weight, WeightFormat::kNz, params.output,
                                  WeightFormat::kNd, problem);
}

prim::CpuWork Steps::OnCpu(Problem& problem, Level) {
  prim::CpuWork work;
  // Rows without columns are the caller's word alone, and may be any number.
  const int64_t rows = problem.from.columns > 0 ? problem.from.rows : 0;
  work.phases = {{base::CeilDiv(rows, kRowsPerItem), &Convert}};
  work.args = &problem;
  work.blocking = "64 rows per item";
  return work;
}

Cost Steps::CountCost(const Problem& problem) {
  Cost cost;
  cost.read_bytes =
      2.0 * static_cast<double>(problem.from.rows) * static_cast<double>(problem.from.columns);
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

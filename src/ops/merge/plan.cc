#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/merge/cpu/kernel_units.h"
#include "ops/merge/problem.h"
#include "prim/call/room.h"

namespace tamis::merge_attention_states {
namespace {

// Input that one item reads: starting an item costs nothing beside it, and the 128 heads of one
// token in 8 parts are still several.
constexpr int64_t kItemBytes = 256 << 10;

}  // namespace

Status Room::Normalise(const Params&, base::Dims* dims, Problem* problem) {
  problem->parts = (*dims)["parts"];
  problem->tokens = (*dims)["T"];
  problem->heads = (*dims)["N"];
  problem->dim = (*dims)["D"];
  if (problem->parts > INT32_MAX)
    return base::Invalid("outs", "at most 2^31 - 1 parts", problem->parts);
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  KernelArgs& a = *args;
  a.outs = in.outs.data;
  a.outs_part_stride = in.outs.strides[0];
  a.outs_token_stride = in.outs.strides[1];
  a.outs_head_stride = in.outs.strides[2];
  a.maxes = prim::Data<const float>(in.softmax_maxes);
  a.maxes_part_stride = in.softmax_maxes.strides[0];
  a.maxes_token_stride = in.softmax_maxes.strides[1];
  a.sums = prim::Data<const float>(in.softmax_sums);
  a.sums_part_stride = in.softmax_sums.strides[0];
  a.sums_token_stride = in.softmax_sums.strides[1];
  a.out = in.out.data;
  a.out_token_stride = in.out.strides[0];
  a.out_head_stride = in.out.strides[1];
  a.max = prim::Data<float>(in.softmax_max);
  a.max_token_stride = in.softmax_max.strides[0];
  a.sum = prim::Data<float>(in.softmax_sum);
  a.sum_token_stride = in.softmax_sum.strides[0];
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernels = {prim::kMergeAttentionStatesUnits};
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  a.parts = p.parts;
  a.heads = p.heads;
  a.dim = p.dim;
  a.element = prim::ElementOf(in.outs.dtype);
  a.out_float32 = in.out.dtype == DType::kFloat32;

  a.rows = prim::Times(p.tokens, p.heads);
  const int64_t row_bytes = prim::Times(prim::Times(p.parts, p.dim), prim::BytesOf(a.element));
  a.rows_per_item = std::max<int64_t>(kItemBytes / std::max<int64_t>(row_bytes, 64), 1);

  // Rows of which nothing is written are the caller's word alone, and may be any number.
  const bool writes = p.dim > 0 || !in.softmax_max.absent() || !in.softmax_sum.absent();
  work->phases = {{writes ? base::CeilDiv(a.rows, a.rows_per_item) : 0, kKernels.at(target.level)}};
  work->scratch_bytes = prim::Times(PaddedParts(a), 4 * sizeof(float));
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(p.args.rows_per_item) + " rows per item";
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  const double rows = static_cast<double>(p.tokens) * static_cast<double>(p.heads);
  const auto parts = static_cast<double>(p.parts);
  const auto dim = static_cast<double>(p.dim);
  const double element_bytes = in.outs.dtype == DType::kFloat32 ? 4 : 2;
  const double out_bytes = in.out.dtype == DType::kFloat32 ? 4 : 2;
  Cost cost;
  cost.flops = 2.0 * rows * parts * dim;
  cost.read_bytes = rows * parts * (dim * element_bytes + 8);
  cost.write_bytes = rows * (dim * out_bytes + (in.softmax_max.absent() ? 0 : 4) +
                             (in.softmax_sum.absent() ? 0 : 4));
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::merge_attention_states

namespace tamis::merge_topk {

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  if (params.sparse_count < 0)
    return base::Invalid("sparse_count", "at least 0", params.sparse_count);
  problem->parts = (*dims)["parts"];
  problem->tokens = (*dims)["T"];
  problem->entries = (*dims)["K"];
  problem->sparse_count = params.sparse_count;
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  KernelArgs& a = *args;
  a.values = prim::Data<const float>(in.values);
  a.values_part_stride = in.values.strides[0];
  a.values_token_stride = in.values.strides[1];
  a.indices = prim::Data<const int32_t>(in.indices);
  a.indices_part_stride = in.indices.strides[0];
  a.indices_token_stride = in.indices.strides[1];
  a.out_indices = prim::Data<int32_t>(in.sparse_indices);
  a.out_indices_stride = in.sparse_indices.strides[0];
  a.out_values = prim::Data<float>(in.sparse_values);
  a.out_values_stride = in.sparse_values.strides[0];
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget&, prim::CpuWork* work) {
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  a.parts = p.parts;
  a.entries = p.entries;
  a.sparse_count = p.sparse_count;
  a.keep = std::min(p.sparse_count, prim::Times(p.parts, p.entries));

  // Rows without entries are the caller's word alone, and may be any number.
  work->phases = {{p.sparse_count > 0 ? p.tokens : 0, &MergeToken}};
  work->scratch_bytes = prim::Times(prim::SelectorCapacity(a.keep), sizeof(uint64_t));
}

std::string Room::Blocking(const Problem&) { return "a token per item"; }

Cost Room::CountCost(const Problem& p, const Params& in) {
  const auto tokens = static_cast<double>(p.tokens);
  Cost cost;
  cost.read_bytes = 8.0 * tokens * static_cast<double>(p.parts) * static_cast<double>(p.entries);
  cost.write_bytes =
      (in.sparse_values.absent() ? 4.0 : 8.0) * tokens * static_cast<double>(p.sparse_count);
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::merge_topk

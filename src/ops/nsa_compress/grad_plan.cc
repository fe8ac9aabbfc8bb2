#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/nsa_compress/cpu/grad_kernel_units.h"
#include "ops/nsa_compress/grad_problem.h"
#include "prim/call/room.h"
#include "prim/call/sequences.h"

namespace tamis::nsa_compress_grad {
namespace {

// Weights of an item: their sums, a vector each, stay in the cache.
constexpr int64_t kWeightsPerItem = 2048;
// Items of a worker, where heads give as many.
constexpr int64_t kItemsPerThread = 4;
// Of the second phase: weights whose sums are added up, and tokens looked at for what has no
// window.
constexpr int64_t kWeightsPerSum = 1024;
constexpr int64_t kTokensPerItem = 4096;

// Heads of an item. Each is summed up by itself: how many there are moves no bit.
int64_t HeadsPerItem(const Problem& p, int64_t runs, int32_t threads) {
  int64_t heads = std::clamp<int64_t>(kWeightsPerItem / p.block, 1, std::max<int64_t>(p.heads, 1));
  const int64_t enough = kItemsPerThread * threads;
  while (threads > 1 && heads > 1 && runs * base::CeilDiv(p.heads, heads) < enough)
    heads = base::CeilDiv(heads, 2);
  return heads;
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  std::vector<int64_t> windows;
  TAMIS_RETURN_IF_ERROR(nsa_compress::TakePacked(params.compress_block_size, params.compress_stride,
                                                 params.act_seq_len, params.act_seq_len_type, *dims,
                                                 problem, &windows));
  if ((*dims)["Tc"] != problem->windows) {
    return base::Invalid("output_grad",
                         "a row for each of the " + std::to_string(problem->windows) + " windows",
                         (*dims)["Tc"]);
  }
  problem->tokens = (*dims)["T"];
  dims->NewEnds("Tc") = std::move(windows);
  prim::AddEnds(problem->spans, &dims->NewEnds("T"));
  dims->Set("B", params.act_seq_len.size());
  dims->Set("Rows", prim::Plus(problem->tokens, problem->block));
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  args->output_grad = in.output_grad.data;
  args->output_grad_row_stride = in.output_grad.strides[0];
  args->output_grad_head_stride = in.output_grad.strides[1];
  args->input = in.input.data;
  args->input_token_stride = in.input.strides[0];
  args->input_head_stride = in.input.strides[1];
  args->weight = in.weight.data;
  args->weight_row_stride = in.weight.strides[0];
  args->input_grad = in.input_grad.data;
  args->input_grad_token_stride = in.input_grad.strides[0];
  args->input_grad_head_stride = in.input_grad.strides[1];
  args->weight_grad = in.weight_grad.data;
  args->weight_grad_row_stride = in.weight_grad.strides[0];
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kWindows = {prim::kNsaCompressGradUnits};
  static constexpr prim::KernelTable kRest = {prim::kNsaCompressGradRestUnits};
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  a.sequences = p.sequences.data();
  a.sequence_count = static_cast<int64_t>(p.sequences.size());
  a.tokens = p.tokens;
  a.windows = p.windows;
  a.block = p.block;
  a.stride = p.stride;
  a.heads = p.heads;
  a.dim = p.dim;
  a.element = prim::ElementOf(in.input.dtype);
  a.wants_tokens = !in.input_grad.absent() && p.heads > 0 && p.dim > 0;
  a.wants_weights = !in.weight_grad.absent() && p.heads > 0;
  const bool works = a.wants_tokens || (a.wants_weights && p.dim > 0);
  a.runs = works ? base::CeilDiv(p.windows, kWindowsPerRun) : 0;
  a.heads_per_item = HeadsPerItem(p, a.runs, target.threads);
  a.head_groups = base::CeilDiv(p.heads, a.heads_per_item);
  a.weights_per_item = std::max<int64_t>(kWeightsPerSum / std::max<int64_t>(p.heads, 1), 1);
  a.weight_items = a.wants_weights ? base::CeilDiv(p.block, a.weights_per_item) : 0;
  a.tokens_per_item = kTokensPerItem;
  const int64_t token_items = a.wants_tokens ? base::CeilDiv(p.tokens, kTokensPerItem) : 0;
  work->phases = {{prim::Times(a.runs, a.head_groups), kWindows.at(target.level)},
                  {prim::Plus(a.weight_items, token_items), kRest.at(target.level)}};
  work->scratch_bytes = prim::Times(Scratch(a).total, sizeof(float));
  work->shared_bytes = prim::Times(SharedFloats(a), sizeof(float));
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(kWindowsPerRun) + " windows x " + std::to_string(p.args.heads_per_item) +
         " heads per item";
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  const auto bytes = static_cast<double>(base::ItemSize(in.input.dtype));
  const auto row = static_cast<double>(p.heads) * static_cast<double>(p.dim);
  const auto weights = static_cast<double>(p.block) * static_cast<double>(p.heads);
  const auto windows = static_cast<double>(p.windows);
  const double tokens = in.input_grad.absent() ? 0 : 1;
  const double sums = in.weight_grad.absent() ? 0 : 1;
  Cost cost;
  cost.flops = 2.0 * (tokens + sums) * windows * static_cast<double>(p.block) * row;
  cost.read_bytes = bytes * (windows * row + tokens * weights + sums * CountTokens(p) * row);
  cost.write_bytes = bytes * (tokens * static_cast<double>(p.tokens) * row + sums * weights);
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_compress_grad

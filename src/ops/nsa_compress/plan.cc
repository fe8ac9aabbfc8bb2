#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/nsa_compress/cpu/kernel_units.h"
#include "ops/nsa_compress/problem.h"
#include "prim/call/room.h"
#include "prim/call/sequences.h"

namespace tamis::nsa_compress {
namespace {

// About 2 MiB of input per item: starting an item costs nothing beside it, and a long text gives
// enough to balance.
constexpr int64_t kItemBytes = 2 << 20;

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const int64_t block = params.compress_block_size;
  const int64_t stride = params.compress_stride;
  if (block <= 0) return base::Invalid("compress_block_size", "at least 1", block);
  if (stride <= 0) return base::Invalid("compress_stride", "at least 1", stride);
  if (stride > block) {
    return base::Invalid("compress_stride",
                         "at most compress_block_size = " + std::to_string(block), stride);
  }
  std::vector<prim::Span>& spans = problem->spans;
  switch (params.act_seq_len_type) {
    case 0:
      TAMIS_RETURN_IF_ERROR(
          prim::SpansFromPrefix("act_seq_len", params.act_seq_len, (*dims)["T"], "T", &spans));
      break;
    case 1:
      TAMIS_RETURN_IF_ERROR(
          prim::SpansFromCounts("act_seq_len", params.act_seq_len, (*dims)["T"], "T", &spans));
      break;
    default:
      return base::Invalid("act_seq_len_type", "0 (prefix sums) or 1 (lengths)",
                           params.act_seq_len_type);
  }

  problem->sequences.clear();
  int64_t windows = 0;
  std::vector<int64_t>& ends = dims->NewEnds("Tc");
  for (const prim::Span& span : spans) {
    if (span.length >= block) {
      const int64_t count = (span.length - block) / stride + 1;
      problem->sequences.push_back({span.begin, windows, count});
      windows += count;
    }
    ends.push_back(windows);
  }
  dims->Set("B", params.act_seq_len.size());
  dims->Set("Tc", windows);

  problem->block = block;
  problem->stride = stride;
  problem->heads = (*dims)["N"];
  problem->dim = (*dims)["D"];
  problem->windows = windows;
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  args->input = in.input.data;
  args->input_token_stride = in.input.strides[0];
  args->input_head_stride = in.input.strides[1];
  args->weight = in.weight.data;
  args->weight_row_stride = in.weight.strides[0];
  args->output = in.output.data;
  args->output_row_stride = in.output.strides[0];
  args->output_head_stride = in.output.strides[1];
}

void Room::OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                 prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernels = {prim::kNsaCompressUnits};
  const int64_t row = prim::Times(problem.heads, problem.dim);
  const int64_t bytes = base::ItemSize(in.input.dtype);
  const int64_t window_bytes =
      std::max<int64_t>(prim::Times(problem.stride, prim::Times(row, bytes)), 1);
  KernelArgs& args = problem.args;
  Bind(problem, in, &args);
  args.sequences = problem.sequences.data();
  args.sequence_count = static_cast<int64_t>(problem.sequences.size());
  args.windows = problem.windows;
  args.windows_per_item = std::max<int64_t>(kItemBytes / window_bytes, 1);
  args.block = problem.block;
  args.stride = problem.stride;
  args.heads = problem.heads;
  args.dim = problem.dim;
  args.element = prim::ElementOf(in.input.dtype);

  const bool empty = problem.heads == 0 || problem.dim == 0;
  work->phases = {{empty ? 0 : base::CeilDiv(problem.windows, args.windows_per_item),
                   kKernels.at(target.level)}};
  work->scratch_bytes = prim::Times(ScratchFloats(args), sizeof(float));
}

std::string Room::Blocking(const Problem& problem) {
  return std::to_string(problem.args.windows_per_item) + " windows per item";
}

Cost Room::CountCost(const Problem& problem, const Params& in) {
  const auto bytes = static_cast<double>(base::ItemSize(in.input.dtype));
  const auto row = static_cast<double>(problem.heads) * static_cast<double>(problem.dim);
  double tokens = 0;  // a sequence's last tokens may be in no window
  for (const Sequence& s : problem.sequences) {
    tokens += static_cast<double>((s.windows - 1) * problem.stride + problem.block);
  }
  Cost cost;
  cost.flops =
      2.0 * static_cast<double>(problem.windows) * static_cast<double>(problem.block) * row;
  cost.read_bytes = bytes * (tokens * row + static_cast<double>(problem.block) *
                                                static_cast<double>(problem.heads));
  cost.write_bytes = bytes * static_cast<double>(problem.windows) * row;
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_compress

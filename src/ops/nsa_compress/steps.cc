// What both forms of compression do alike: checks, the call of the kernel, costs.
#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/nsa_compress/cpu/kernel_units.h"
#include "ops/nsa_compress/problem.h"

namespace tamis::nsa_compress {
namespace {

// About 2 MiB of input per item: starting an item costs nothing beside it, and a long text gives
// enough to balance.
constexpr int64_t kItemBytes = 2 << 20;

}  // namespace

Status Steps::CheckWindows(int64_t block, int64_t stride, const base::Dims& dims,
                           Problem* problem) {
  if (block <= 0) return base::Invalid("compress_block_size", "at least 1", block);
  if (stride <= 0) return base::Invalid("compress_stride", "at least 1", stride);
  if (stride > block) {
    return base::Invalid("compress_stride",
                         "at most compress_block_size = " + std::to_string(block), stride);
  }
  problem->block = block;
  problem->stride = stride;
  problem->heads = dims["N"];
  problem->dim = dims["D"];
  problem->windows = 0;
  problem->sequences.clear();
  return Status::Ok();
}

int64_t Steps::MostWindowsOfAnItem(const Problem& p, DType dtype) {
  const int64_t row_bytes = prim::Times(prim::Times(p.heads, p.dim), base::ItemSize(dtype));
  return std::max<int64_t>(kItemBytes / std::max<int64_t>(prim::Times(p.stride, row_bytes), 1), 1);
}

void Steps::MakeWork(Problem& p, DType dtype, int64_t windows_per_item,
                     const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernels = {prim::kNsaCompressUnits};
  KernelArgs& args = p.args;
  args.sequences = p.sequences.data();
  args.sequence_count = static_cast<int64_t>(p.sequences.size());
  args.windows = p.windows;
  args.windows_per_item = windows_per_item;
  args.block = p.block;
  args.stride = p.stride;
  args.heads = p.heads;
  args.dim = p.dim;
  args.element = prim::ElementOf(dtype);

  const bool empty = p.heads == 0 || p.dim == 0;
  work->phases = {
      {empty ? 0 : base::CeilDiv(p.windows, windows_per_item), kKernels.at(target.level)}};
  work->scratch_bytes = prim::Times(ScratchFloats(args), sizeof(float));
}

std::string Steps::Blocking(const Problem& p) {
  return std::to_string(p.args.windows_per_item) + " windows per item";
}

Cost Steps::CostOf(const Problem& p, DType dtype) {
  const auto bytes = static_cast<double>(base::ItemSize(dtype));
  const auto row = static_cast<double>(p.heads) * static_cast<double>(p.dim);
  double tokens = 0;  // a sequence's last tokens may be in no window
  for (const Sequence& s : p.sequences)
    tokens += static_cast<double>((s.windows - 1) * p.stride + p.block);
  Cost cost;
  cost.flops = 2.0 * static_cast<double>(p.windows) * static_cast<double>(p.block) * row;
  cost.read_bytes =
      bytes * (tokens * row + static_cast<double>(p.block) * static_cast<double>(p.heads));
  cost.write_bytes = bytes * static_cast<double>(p.windows) * row;
  return cost;
}

}  // namespace tamis::nsa_compress

// What the operators of compression do alike: checks, the call of the kernel, costs.
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

Status CheckWindows(int64_t block, int64_t stride, const base::Dims& dims, Windows* windows) {
  if (block <= 0) return base::Invalid("compress_block_size", "at least 1", block);
  if (stride <= 0) return base::Invalid("compress_stride", "at least 1", stride);
  if (stride > block) {
    return base::Invalid("compress_stride",
                         "at most compress_block_size = " + std::to_string(block), stride);
  }
  windows->block = block;
  windows->stride = stride;
  windows->heads = dims["N"];
  windows->dim = dims["D"];
  windows->windows = 0;
  windows->sequences.clear();
  return Status::Ok();
}

Status TakePacked(int64_t block, int64_t stride, const IntList& act_seq_len,
                  int64_t act_seq_len_type, const base::Dims& dims, Windows* windows,
                  std::vector<int64_t>* ends) {
  TAMIS_RETURN_IF_ERROR(CheckWindows(block, stride, dims, windows));
  std::vector<prim::Span>& spans = windows->spans;
  switch (act_seq_len_type) {
    case 0:
      TAMIS_RETURN_IF_ERROR(
          prim::SpansFromPrefix("act_seq_len", act_seq_len, dims["T"], "T", &spans));
      break;
    case 1:
      TAMIS_RETURN_IF_ERROR(
          prim::SpansFromCounts("act_seq_len", act_seq_len, dims["T"], "T", &spans));
      break;
    default:
      return base::Invalid("act_seq_len_type", "0 (prefix sums) or 1 (lengths)", act_seq_len_type);
  }
  for (const prim::Span& span : spans) {
    if (span.length >= block) {
      const int64_t count = (span.length - block) / stride + 1;
      windows->sequences.push_back({span.begin, windows->windows, count, 0});
      windows->windows += count;
    }
    ends->push_back(windows->windows);
  }
  return Status::Ok();
}

int64_t FirstTokenOf(const Windows& windows, int64_t window) {
  for (const Sequence& s : windows.sequences) {
    if (window < s.window_begin + s.windows)
      return s.token_begin + (window - s.window_begin) * windows.stride;
  }
  return -1;
}

double CountTokens(const Windows& windows) {
  double tokens = 0;  // a sequence's last tokens may be in no window
  for (const Sequence& s : windows.sequences)
    tokens += static_cast<double>((s.windows - 1) * windows.stride + windows.block);
  return tokens;
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
  Cost cost;
  cost.flops = 2.0 * static_cast<double>(p.windows) * static_cast<double>(p.block) * row;
  cost.read_bytes =
      bytes * (CountTokens(p) * row + static_cast<double>(p.block) * static_cast<double>(p.heads));
  cost.write_bytes = bytes * static_cast<double>(p.windows) * row;
  return cost;
}

}  // namespace tamis::nsa_compress

// The normalised nsa_compress and its form for decoding, and both rooms as the rest of the house
// takes them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/nsa_compress/cpu/kernel.h"
#include "prim/call/paging.h"
#include "prim/call/sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/nsa_compress.hpp"
#include "tamis/ops/nsa_compress_infer.hpp"

namespace tamis::nsa_compress {

/// What all operators here know of their windows.
struct Windows {
  int64_t block = 0;
  int64_t stride = 0;
  int64_t heads = 0;
  int64_t dim = 0;
  int64_t windows = 0;
  std::vector<Sequence> sequences;  // those with at least one window
  std::vector<prim::Span> spans;    // scratch
};

struct Problem : Windows {
  KernelArgs args;  // the kernels' view, filled by OnCpu
};

Status CheckWindows(int64_t block, int64_t stride, const base::Dims& dims, Windows* windows);
/// And of packed sequences, with their windows in `ends`.
Status TakePacked(int64_t block, int64_t stride, const IntList& act_seq_len,
                  int64_t act_seq_len_type, const base::Dims& dims, Windows* windows,
                  std::vector<int64_t>* ends);
/// The window's first token of the packed ones.
int64_t FirstTokenOf(const Windows& windows, int64_t window);
/// Tokens of windows, as floating point counts them.
double CountTokens(const Windows& windows);

/// What both forms of compression do alike.
struct Steps {
  /// Into `args` of the problem, where what only one operator has is set already.
  static void MakeWork(Problem& problem, DType dtype, int64_t windows_per_item,
                       const prim::CpuTarget& target, prim::CpuWork* work);
  /// As many windows as an item may have.
  static int64_t MostWindowsOfAnItem(const Problem& problem, DType dtype);
  static std::string Blocking(const Problem& problem);
  /// The window over `tokens`, offsets of elements in `input`.
  static void PutWindow(const Problem& problem, const TensorView& input,
                        const std::vector<int64_t>& tokens, int64_t head_stride,
                        const TensorView& weight, size_t slot, base::GoldenOutput* output);
  static Cost CostOf(const Problem& problem, DType dtype);
};

struct Room : Steps {
  using Params = nsa_compress::Params;
  using Problem = nsa_compress::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::nsa_compress

namespace tamis::nsa_compress_infer {

/// `sequences` are runs of windows that are written, each a stride after the one before.
struct Problem : nsa_compress::Problem {
  std::vector<prim::Span> new_tokens;  // of every sequence, in slot_mapping
  std::vector<int64_t> lengths;        // of every sequence, in raw tokens
  std::vector<int64_t> slots;          // of every new token's window; -1: none is written
  std::vector<int64_t> rows;           // of the cache, of every window that is written
  int64_t page_size = 0;
  prim::PageTable page_table;
  std::vector<size_t> order;  // scratch

  /// The first position of the window that ends at a new token.
  int64_t WindowBegin(size_t sequence, int64_t token) const {
    const prim::Span& span = new_tokens[sequence];
    return lengths[sequence] - (span.begin + span.length - 1 - token) - block;
  }
};

struct Room : nsa_compress::Steps {
  using Params = nsa_compress_infer::Params;
  using Problem = nsa_compress_infer::Problem;
  static constexpr const char* kFolder = "nsa_compress";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t token, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static void Bind(const Problem& problem, const Params& in, nsa_compress::KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::nsa_compress_infer

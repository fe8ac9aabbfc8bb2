// The normalised sparse_flash_attention, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/sparse_flash_attention/cpu/kernel.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/sparse_flash_attention.hpp"

namespace tamis::sparse_flash_attention {

struct Problem : prim::TokenProblem {
  int64_t heads = 0;
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  int64_t top_k = 0;
  int64_t block_size = 1;
  bool causal = true;
  double scale = 0;
  bool storage = true;          // of Accuracy
  bool integer_scores = false;  // they may be: scores are in fp32 wherever statistics are wanted
  bool byte_rows = false;       // key holds rows of bytes
  bool value_in_key = true;     // values are the latent part of key
  prim::KvRow kv_row;
  std::vector<Sequence> kernel_sequences;  // filled by OnCpu, as all that follows
  std::vector<Cut> cuts;
  std::vector<Task> tasks;
  KernelArgs args = {};

  /// The positions that a query token has selected and may see, in their order.
  std::vector<int64_t> Selected(const TensorView& indices, const prim::TokenSequence& s,
                                int64_t token) const;
};

struct Room {
  using Params = sparse_flash_attention::Params;
  using Problem = sparse_flash_attention::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static Status CheckStrides(const Problem& problem, const Params& in);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::sparse_flash_attention

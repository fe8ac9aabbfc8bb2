// The normalised sparse_flash_attention, and the room as the rest of the house takes it.
#pragma once

#include <vector>

#include "base/operator.h"
#include "ops/sparse_flash_attention/cpu/kernel.h"
#include "prim/cpu/work.h"
#include "prim/token_sequences.h"
#include "tamis/ops/sparse_flash_attention.hpp"

namespace tamis::sparse_flash_attention {

struct Problem : prim::TokenProblem {
  TensorView query, query_rope, key, key_rope, value, indices, sinks;
  TensorView out, max, sum;
  int64_t heads = 0;
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  int64_t top_k = 0;
  int64_t block_size = 1;
  bool causal = true;
  double scale = 0;
  bool storage = true;  // of Accuracy
  bool packed = false;  // key holds rows of bytes
  prim::KvRow row;
  std::vector<Sequence> kernel_sequences;  // filled by OnCpu, as all that follows
  std::vector<Cut> cuts;
  std::vector<Task> tasks;
  KernelArgs args = {};

  /// TokenOffset in softmax_max and softmax_sum, which have one dimension more.
  int64_t StatisticsOffset(const TensorView& view, const prim::TokenSequence& s,
                           int64_t token) const {
    return (padded_queries ? s.batch * view.strides[0] + (s.token + token) * view.strides[2]
                           : (s.token + token) * view.strides[1]);
  }

  /// Statistics are those of scores in fp32, so scores are wherever statistics are wanted.
  bool ScoresMayBeIntegers() const { return storage && !packed && max.absent() && sum.absent(); }

  /// The positions that a query token has selected and may see, in their order.
  std::vector<int64_t> Selected(const prim::TokenSequence& s, int64_t token) const;
};

struct Room {
  using Params = sparse_flash_attention::Params;
  using Problem = sparse_flash_attention::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, int64_t row, size_t slot, base::Golden* golden);
  static prim::CpuWork OnCpu(Problem& problem, Level level, int32_t threads);
  static Cost CountCost(const Problem& problem);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::sparse_flash_attention

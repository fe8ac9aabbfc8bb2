// The normalised lightning_indexer, and the room as the rest of the house takes it.
#pragma once

#include <vector>

#include "base/operator.h"
#include "ops/lightning_indexer/cpu/kernel.h"
#include "prim/cpu/work.h"
#include "prim/token_sequences.h"
#include "tamis/ops/lightning_indexer.hpp"

namespace tamis::lightning_indexer {

struct Problem {
  TensorView query, key, weights, page_table;
  TensorView indices, values;
  std::vector<prim::TokenSequence> sequences;  // every output row is in one
  bool padded_queries = true;                  // [B, S1, ...] instead of [T1, ...]
  prim::TokenLayout key_layout = prim::TokenLayout::kBsnd;
  int64_t heads = 0;
  int64_t dim = 0;
  int64_t page_size = 0;
  int64_t sparse_count = 0;
  bool causal = true;
  std::vector<Chunk> chunks;  // first phase, filled by OnCpu
  std::vector<Row> rows;      // second phase, one per output row
  KernelArgs args = {};       // the kernels' view, filled by OnCpu

  /// Offset of query token `token` of a sequence, in elements of a tensor with the queries' leading
  /// dimensions.
  int64_t TokenOffset(const TensorView& view, const prim::TokenSequence& s, int64_t token) const {
    return padded_queries ? s.batch * view.strides[0] + (s.token + token) * view.strides[1]
                          : (s.token + token) * view.strides[0];
  }
  /// Offset of key `position` of a sequence.
  int64_t KeyOffset(const prim::TokenSequence& s, int64_t position) const;
};

struct Room {
  using Params = lightning_indexer::Params;
  using Problem = lightning_indexer::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, int64_t row, size_t slot, base::Golden* golden);
  static prim::CpuWork OnCpu(Problem& problem, Level level);
  static Cost CountCost(const Problem& problem);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::lightning_indexer

// The normalised lightning_indexer, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/lightning_indexer/cpu/kernel.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/lightning_indexer.hpp"

namespace tamis::lightning_indexer {

struct Problem : prim::TokenProblem {
  int64_t heads = 0;
  int64_t dim = 0;
  int64_t sparse_count = 0;
  bool causal = true;
  Pruning pruning = Pruning::kAuto;
  std::vector<Chunk> chunks;  // first phase, filled by OnCpu
  std::vector<Row> rows;      // last phase, one per output row
  std::vector<Group> groups;  // of chunks with the same tokens
  KernelArgs args = {};       // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = lightning_indexer::Params;
  using Problem = lightning_indexer::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::lightning_indexer

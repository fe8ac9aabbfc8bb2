// The normalised indexer_prolog, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/indexer_prolog/cpu/kernel.h"
#include "prim/call/prologs.h"
#include "prim/call/work.h"
#include "tamis/ops/indexer_prolog.hpp"

namespace tamis::indexer_prolog {

struct Problem : prim::PrologProblem {
  int64_t heads = 0;
  int64_t dim = 0;
  WeightFormat format = WeightFormat::kNd;
  float epsilon = 0;  // kernels compute with it
  bool interleaved = true;
  bool rope_last = false;
  KernelArgs args = {};  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = indexer_prolog::Params;
  using Problem = indexer_prolog::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& p, const Params& in, int64_t token, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static Status CheckStrides(const Problem& problem, const Params& in);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::indexer_prolog

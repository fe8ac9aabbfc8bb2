// The normalised indexer_prolog, and the room as the rest of the house takes it.
#pragma once

#include <vector>

#include "base/operator.h"
#include "ops/indexer_prolog/cpu/kernel.h"
#include "prim/cpu/work.h"
#include "prim/prologs.h"
#include "tamis/ops/indexer_prolog.hpp"

namespace tamis::indexer_prolog {

struct Problem : prim::PrologProblem {
  Params params;
  int64_t heads = 0;
  int64_t dim = 0;
  prim::LinearWeight qb = {};            // [Lq, heads dim]; no data where absent
  prim::LinearWeight k = {};             // [H, dim]
  prim::LinearWeight proj = {};          // [H, heads]; no data where absent
  std::vector<int64_t> cache_rows;       // the slots as offsets, filled by OnCpu
  std::vector<ShadowPlace> shadow_keys;  // the slots as places in the shadow, filled by OnCpu
  KernelArgs args = {};                  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = indexer_prolog::Params;
  using Problem = indexer_prolog::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& p, int64_t token, size_t slot, base::Golden* golden);
  static prim::CpuWork OnCpu(Problem& problem, Level level);
  static Cost CountCost(const Problem& problem);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::indexer_prolog

// The normalised lightning_indexer_grad, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/lightning_indexer/cpu/grad_kernel.h"
#include "ops/lightning_indexer/problem.h"
#include "prim/call/work.h"
#include "prim/list_grad/call.h"
#include "prim/references/index_grad_reference.h"
#include "tamis/ops/lightning_indexer_grad.hpp"

namespace tamis::lightning_indexer_grad {

struct Problem : prim::list_grad::Call {
  lightning_indexer::Problem indexer;
  int64_t query_rows = 0;  // padding among them
  int64_t key_rows = 0;
  int64_t slots = 0;     // of a list
  KernelArgs args = {};  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = lightning_indexer_grad::Params;
  using Problem = lightning_indexer_grad::Problem;
  static constexpr const char* kFolder = "lightning_indexer";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static prim::IndexGradReference ReferenceOf(const Problem& problem, const Params& in,
                                              const std::vector<int64_t>& rows,
                                              const prim::ForIndices& for_indices);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::lightning_indexer_grad

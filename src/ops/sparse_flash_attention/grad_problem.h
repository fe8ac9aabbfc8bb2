// The normalised sparse_flash_attention_grad, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/sparse_flash_attention/cpu/grad_kernel.h"
#include "ops/sparse_flash_attention/problem.h"
#include "prim/call/work.h"
#include "prim/list_grad/call.h"
#include "prim/references/attention_grad_reference.h"
#include "tamis/ops/sparse_flash_attention_grad.hpp"

namespace tamis::sparse_flash_attention_grad {

struct Problem : prim::list_grad::Call {
  sparse_flash_attention::Problem attention;
  KernelArgs args;
};

struct Room {
  using Params = sparse_flash_attention_grad::Params;
  using Problem = sparse_flash_attention_grad::Problem;
  static constexpr const char* kFolder = "sparse_flash_attention";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static prim::AttentionGradReference ReferenceOf(const Problem& problem, const Params& in,
                                                  const std::vector<int64_t>& rows,
                                                  const prim::ForIndices& for_indices);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::sparse_flash_attention_grad

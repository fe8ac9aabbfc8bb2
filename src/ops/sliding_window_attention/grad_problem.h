// The normalised sliding_window_attention_grad, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/sliding_window_attention/problem.h"
#include "prim/attention_grad/call.h"
#include "prim/call/work.h"
#include "prim/references/attention_grad_reference.h"
#include "tamis/ops/sliding_window_attention_grad.hpp"

namespace tamis::sliding_window_attention_grad {

struct Problem : sliding_window_attention::Sizes, prim::attention_grad::Call {};

struct Room {
  using Params = sliding_window_attention_grad::Params;
  using Problem = sliding_window_attention_grad::Problem;
  static constexpr const char* kFolder = "sliding_window_attention";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static prim::AttentionGradReference ReferenceOf(const Problem& problem, const Params& in,
                                                  const std::vector<int64_t>& rows,
                                                  const prim::ForIndices& for_indices);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, prim::attention_grad::Args* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::sliding_window_attention_grad

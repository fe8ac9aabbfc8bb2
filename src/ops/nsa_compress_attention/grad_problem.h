// The normalised nsa_compress_attention_grad, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/nsa_compress_attention/problem.h"
#include "prim/attention_grad/call.h"
#include "prim/call/work.h"
#include "prim/references/attention_grad_reference.h"
#include "tamis/ops/nsa_compress_attention_grad.hpp"

namespace tamis::nsa_compress_attention_grad {

struct Problem : prim::attention_grad::Call {
  prim::AttentionProblem attention;  // the forward
};

struct Room {
  using Params = nsa_compress_attention_grad::Params;
  using Problem = nsa_compress_attention_grad::Problem;
  static constexpr const char* kFolder = "nsa_compress_attention";

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

}  // namespace tamis::nsa_compress_attention_grad

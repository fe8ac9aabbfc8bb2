// The normalised sliding_window_attention, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "prim/attention/call.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/sliding_window_attention.hpp"

namespace tamis::sliding_window_attention {

struct Problem : prim::TokenProblem, prim::attention::Call {
  int64_t kv_heads = 0;
  int64_t group = 0;  // query heads of a kv head
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  int64_t window = 0;
  double scale = 0;
};

struct Room {
  using Params = sliding_window_attention::Params;
  using Problem = sliding_window_attention::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, prim::attention::Args* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::sliding_window_attention

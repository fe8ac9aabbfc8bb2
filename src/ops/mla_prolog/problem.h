// The normalised mla_prolog, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/mla_prolog/cpu/kernel.h"
#include "prim/call/prologs.h"
#include "prim/call/work.h"
#include "tamis/ops/mla_prolog.hpp"

namespace tamis::mla_prolog {

struct Problem : prim::PrologProblem {
  int64_t heads = 0;
  int64_t nope = 0;
  int64_t latent = 0;
  int64_t query_rank = 0;  // Lq
  WeightFormat format = WeightFormat::kNd;
  float epsilon_cq = 0;  // kernels compute with them
  float epsilon_ckv = 0;
  float epsilon_kr = 0;
  bool interleaved = true;
  KernelArgs args = {};  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = mla_prolog::Params;
  using Problem = mla_prolog::Problem;

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

}  // namespace tamis::mla_prolog

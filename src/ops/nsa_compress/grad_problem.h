// The normalised nsa_compress_grad, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/nsa_compress/cpu/grad_kernel.h"
#include "ops/nsa_compress/problem.h"
#include "prim/call/work.h"
#include "tamis/ops/nsa_compress_grad.hpp"

namespace tamis::nsa_compress_grad {

struct Problem : nsa_compress::Windows {
  int64_t tokens = 0;
  KernelArgs args;  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = nsa_compress_grad::Params;
  using Problem = nsa_compress_grad::Problem;
  static constexpr const char* kFolder = "nsa_compress";

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

}  // namespace tamis::nsa_compress_grad

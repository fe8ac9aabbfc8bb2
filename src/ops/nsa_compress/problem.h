// The normalised nsa_compress, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/nsa_compress/cpu/kernel.h"
#include "prim/call/sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/nsa_compress.hpp"

namespace tamis::nsa_compress {

struct Problem {
  int64_t block = 0;
  int64_t stride = 0;
  int64_t heads = 0;
  int64_t dim = 0;
  int64_t windows = 0;
  std::vector<Sequence> sequences;  // those with at least one window
  std::vector<prim::Span> spans;    // scratch
  KernelArgs args;                  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = nsa_compress::Params;
  using Problem = nsa_compress::Problem;

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

}  // namespace tamis::nsa_compress

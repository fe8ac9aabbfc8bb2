// The normalised nd_to_nz and nz_to_nd, and both rooms as the rest of the house takes them.
#pragma once

#include <vector>

#include "base/operator.h"
#include "prim/cpu/linear.h"
#include "prim/cpu/work.h"
#include "tamis/ops/weight_format.hpp"

namespace tamis::weight_format {

struct Problem {
  DType dtype = DType::kNone;
  prim::LinearWeight from = {};
  prim::LinearWeight to = {};  // its data is written
};

struct Steps {
  using Problem = weight_format::Problem;
  static constexpr const char* kFolder = "weight_format";

  static void ReferenceRow(const Problem& problem, int64_t row, size_t slot, base::Golden* golden);
  static prim::CpuWork OnCpu(Problem& problem, Level level);
  static Cost CountCost(const Problem& problem);
  static const std::vector<base::Example>& examples();
};

struct NdToNz : Steps {
  using Params = nd_to_nz::Params;
  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
};

struct NzToNd : Steps {
  using Params = nz_to_nd::Params;
  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
};

}  // namespace tamis::weight_format

// The normalised nd_to_nz and nz_to_nd, and both rooms as the rest of the house takes them.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "prim/blocks/linear.h"
#include "prim/call/work.h"
#include "tamis/ops/weight_format.hpp"

namespace tamis::weight_format {

/// What is converted, and into what; the data of `to` is written.
struct KernelArgs {
  prim::LinearWeight from;
  prim::LinearWeight to;
  int64_t bytes;  // of an element
};

struct Problem {
  WeightFormat from = WeightFormat::kNd;
  WeightFormat to = WeightFormat::kNz;
  KernelArgs args = {};
};

/// Both operators have the same params but for their name.
struct Steps {
  using Problem = weight_format::Problem;
  static constexpr const char* kFolder = "weight_format";

  template <class Params>
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden) {
    ReferenceRowOf(problem, in.weight, row, slot, golden);
  }
  template <class Params>
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget&,
                    prim::CpuWork* work) {
    Bind(problem, in, &problem.args);
    MakeWork(problem.args, work);
  }
  static std::string Blocking(const Problem&) { return "64 rows per item"; }
  template <class Params>
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args) {
    BindWeights(in.weight, in.output, problem, args);
  }
  template <class Params>
  static Cost CountCost(const Problem&, const Params& in) {
    return CostOf(in.weight);
  }
  static const std::vector<base::Example>& examples();

 private:
  static void BindWeights(const TensorView& weight, const TensorView& output,
                          const Problem& problem, KernelArgs* args);
  static void ReferenceRowOf(const Problem& problem, const TensorView& weight, int64_t row,
                             size_t slot, base::Golden* golden);
  static void MakeWork(const KernelArgs& args, prim::CpuWork* work);
  static Cost CostOf(const TensorView& weight);
};

struct NdToNz : Steps {
  using Params = nd_to_nz::Params;
  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static Status CheckStrides(const Problem& problem, const Params& in);
};

struct NzToNd : Steps {
  using Params = nz_to_nd::Params;
  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static Status CheckStrides(const Problem& problem, const Params& in);
};

}  // namespace tamis::weight_format

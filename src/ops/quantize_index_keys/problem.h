// The normalised quantize_index_keys, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/quantize_index_keys/cpu/kernel.h"
#include "prim/call/work.h"
#include "tamis/ops/quantize_index_keys.hpp"

namespace tamis::quantize_index_keys {

/// Pages of keys; a batch of sequences, or all packed keys, are pages too.
struct Problem {
  int64_t pages = 0;
  int64_t page_size = 0;
  int64_t panels = 0;  // of a page
  int64_t dim = 0;
  KernelArgs args = {};  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = quantize_index_keys::Params;
  using Problem = quantize_index_keys::Problem;

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

}  // namespace tamis::quantize_index_keys

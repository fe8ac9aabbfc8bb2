// The normalised operators of the merge room, and the rooms as the rest of the house takes them.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/merge/cpu/kernel.h"
#include "prim/call/work.h"
#include "tamis/ops/globalize_indices.hpp"
#include "tamis/ops/localize_indices.hpp"
#include "tamis/ops/merge_attention_states.hpp"
#include "tamis/ops/merge_topk.hpp"

namespace tamis::merge_attention_states {

struct Problem {
  int64_t parts = 0;
  int64_t tokens = 0;
  int64_t heads = 0;
  int64_t dim = 0;
  KernelArgs args = {};  // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = merge_attention_states::Params;
  using Problem = merge_attention_states::Problem;
  static constexpr const char* kFolder = "merge";

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

}  // namespace tamis::merge_attention_states

namespace tamis::merge_topk {

struct Problem {
  int64_t parts = 0;
  int64_t tokens = 0;
  int64_t entries = 0;  // per part
  int64_t sparse_count = 0;
  KernelArgs args = {};
};

struct Room {
  using Params = merge_topk::Params;
  using Problem = merge_topk::Problem;
  static constexpr const char* kFolder = "merge";

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

}  // namespace tamis::merge_topk

namespace tamis::localize_indices {

struct Problem {
  int64_t tokens = 0;
  int64_t entries = 0;
  int64_t rank = 0;
  int64_t world = 1;
  int64_t interleave = 1;
  int64_t ranks = 1;
  KernelArgs args = {};
};

struct Room {
  using Params = localize_indices::Params;
  using Problem = localize_indices::Problem;
  static constexpr const char* kFolder = "merge";

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

}  // namespace tamis::localize_indices

namespace tamis::globalize_indices {

struct Problem {
  int64_t tokens = 0;
  int64_t entries = 0;
  int64_t rank = 0;
  int64_t world = 1;
  int64_t interleave = 1;
  int64_t ranks = 1;
  KernelArgs args = {};
};

struct Room {
  using Params = globalize_indices::Params;
  using Problem = globalize_indices::Problem;
  static constexpr const char* kFolder = "merge";

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

}  // namespace tamis::globalize_indices

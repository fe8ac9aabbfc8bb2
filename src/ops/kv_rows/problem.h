// The normalised operators of the kv_rows room, and the rooms as the rest of the house takes them.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/kv_rows/cpu/kernel.h"
#include "prim/call/work.h"
#include "tamis/ops/pack_kv_rows.hpp"
#include "tamis/ops/unpack_kv_rows.hpp"

namespace tamis::kv_rows {

/// Both ways: rows of bytes and what they mean.
struct Problem {
  int64_t count = 0;
  prim::KvRow format;
  DType dtype = DType::kBFloat16;
  KernelArgs args = {};  // the kernels' view, filled by OnCpu
};

}  // namespace tamis::kv_rows

namespace tamis::pack_kv_rows {

struct Room {
  using Params = pack_kv_rows::Params;
  using Problem = kv_rows::Problem;
  static constexpr const char* kFolder = "kv_rows";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static Status CheckStrides(const Problem& problem, const Params& in);
  static void Bind(const Problem& problem, const Params& in, kv_rows::KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::pack_kv_rows

namespace tamis::unpack_kv_rows {

struct Room {
  using Params = unpack_kv_rows::Params;
  using Problem = kv_rows::Problem;
  static constexpr const char* kFolder = "kv_rows";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static Status CheckStrides(const Problem& problem, const Params& in);
  static void Bind(const Problem& problem, const Params& in, kv_rows::KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::unpack_kv_rows

// merge_topk: the best of several lists of scored positions.
#pragma once

#include "tamis/plan.hpp"

namespace tamis::merge_topk {

/// Of every token, the sparse_count best entries (value, index) of all parts: higher value first,
/// equal values (-0 equals +0) by lower index, NaN last; then index -1 and value -inf. An entry
/// with a negative index is none, wherever it stands. Entries are not compared with each other: an
/// index that comes twice is listed twice. The result depends on no order within or among parts.
/// Deterministic for any number of threads. Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "merge_topk";

  TensorView values = {};   // [parts, T, K] fp32
  TensorView indices = {};  // [parts, T, K] int32
  int64_t sparse_count = kNotGiven;
  bool strict = false;
  OutputView sparse_indices = {};  // [T, sparse_count] int32
  OutputView sparse_values = {};   // [T, sparse_count] fp32; may be absent
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::merge_topk

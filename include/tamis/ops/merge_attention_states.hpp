// merge_attention_states: attention over the union of disjoint sets of keys, from the attention
// over each.
#pragma once

#include "tamis/ops/out_dtype.hpp"
#include "tamis/plan.hpp"

namespace tamis::merge_attention_states {

/// An attention state is (out, softmax_max, softmax_sum): a row attended over some keys, the
/// largest score and the sum of exp(score - max). Of every token t and head h, over the parts r
/// that are not empty:
///   softmax_max = m = max_r max_r          softmax_sum = l = sum_r sum_r exp(max_r - m)
///   out = sum_r (sum_r exp(max_r - m) / l) out_r
/// A part is empty where its max is -inf or its sum at most 0; its out is not read and may hold
/// NaN. Where every part is empty, and where there is none: out 0, max -inf, sum 0. One part that
/// is not empty comes out as it is, bit for bit. NaN stays in its row. Deterministic, bit for bit,
/// for any number of threads and whatever other rows are in the call. Outputs must not overlap
/// inputs.
struct Params {
  static constexpr const char* kOperator = "merge_attention_states";

  TensorView outs = {};           // [parts, T, N, D] fp16, bf16 or fp32
  TensorView softmax_maxes = {};  // [parts, T, N] fp32, natural logarithm
  TensorView softmax_sums = {};   // [parts, T, N] fp32
  OutDtype out_dtype = OutDtype::kInput;
  bool strict = false;
  OutputView out = {};          // [T, N, D], as outs, or fp32
  OutputView softmax_max = {};  // [T, N] fp32; may be absent
  OutputView softmax_sum = {};  // [T, N] fp32; may be absent
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::merge_attention_states

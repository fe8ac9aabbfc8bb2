// nsa_compress_grad: the gradient of nsa_compress.
#pragma once

#include "tamis/ops/nsa_compress.hpp"
#include "tamis/plan.hpp"

namespace tamis::nsa_compress_grad {

using Layout = nsa_compress::Layout;

/// With n windows of a sequence that begins at token `begin` and has its first window at row `off`,
/// l = compress_block_size and d = compress_stride, per head h:
///   input_grad[begin + t, h, :] = sum over windows i with i d <= t < i d + l of
///                                 weight[t - i d, h] * output_grad[off + i, h, :]
///   weight_grad[w, h] = sum over sequences, windows i and channels c of
///                       output_grad[off + i, h, c] * input[begin + i d + w, h, c]
/// A token of no window gets exactly 0, and is not read. Sums are taken in fp32 and rounded once:
/// of a token over its windows in their order, of a weight over 256 windows of the call at a time,
/// whose sums are added in their order. Deterministic, bit for bit, for any number of threads, and
/// input_grad for any other sequences of the call: nothing is added atomically. An output that is
/// absent is not computed; without weight_grad, input is not read.
///
/// Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "nsa_compress_grad";

  TensorView output_grad = {};              // [Tc, N, D] fp16, bf16 or fp32
  TensorView input = {};                    // [T, N, D], of the forward
  TensorView weight = {};                   // [compress_block_size, N]
  IntList act_seq_len = {};                 // inclusive prefix sums
  int64_t compress_block_size = kNotGiven;  // tokens in a window
  int64_t compress_stride = kNotGiven;      // tokens between the starts of windows
  Layout layout = Layout::kTnd;
  int64_t act_seq_len_type = 0;  // 0: prefix sums, 1: lengths
  bool return_input_grad = true;
  bool return_weight_grad = true;
  bool strict = false;
  OutputView input_grad = {};   // [T, N, D]
  OutputView weight_grad = {};  // [compress_block_size, N]
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_compress_grad

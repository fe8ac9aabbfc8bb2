// nsa_selected_attention: attention of every query token over the blocks of raw keys that were
// selected for it, the selected branch of Native Sparse Attention (training and prefill form; the
// device's NsaSelectedAttention).
#pragma once

#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/out_dtype.hpp"
#include "tamis/plan.hpp"

namespace tamis::nsa_selected_attention {

/// For query token i of a sequence with q query tokens and n keys, and every query head h, over the
/// positions that topk_indices[i, g] selects, where g = h / (N / N2):
///   s[j] = scale_value * query[i, h] . key[j, g]
///   max = max_j s[j], sum = sum_j exp(s[j] - max)
///   attention_out = sum_j exp(s[j] - max) value[j, g] / sum
///
/// Which positions: with e the end of what the token sees, the ids are looked at in order, all of
/// them. A negative one ends the list. Id b names the positions [b l', (b + 1) l') before e, l'
/// being select_block_size; a block at or past e gives none. An id named twice counts twice. Ids
/// may hold any int32.
///   sparse_mode 0   e = n
///   sparse_mode 2   e = min(i + 1, n): causal from the top left, as the device's
///   sparse_mode 3   e = n - q + i + 1, within 0 to n: causal from the bottom right
/// No position: attention_out 0, max -inf, sum 0. Keys and values that no token reads are not read.
///
/// Scores and softmax in fp32; products of probabilities and values: see Accuracy. Deterministic,
/// bit for bit, for any number of threads and whatever other rows a call has. Outputs must not
/// overlap inputs.
struct Params {
  static constexpr const char* kOperator = "nsa_selected_attention";

  TensorView query = {};         // [T, N, D] fp16, bf16 or fp32, sequences packed
  TensorView key = {};           // [Tk, N2, D], as query; N2 divides N
  TensorView value = {};         // [Tk, N2, D2]
  TensorView topk_indices = {};  // [T, N2, K] int32: blocks of the token's sequence
  double scale_value = kNotGiven;
  int64_t head_num = kNotGiven;
  int64_t select_block_size = kNotGiven;
  int64_t select_block_count = kNotGiven;  // K
  IntList actual_seq_qlen = {};            // inclusive prefix sums over query
  IntList actual_seq_kvlen = {};           // inclusive prefix sums over key
  int64_t sparse_mode = 2;
  Accuracy accuracy = Accuracy::kStorage;
  OutDtype out_dtype = OutDtype::kInput;
  bool strict = false;
  OutputView attention_out = {};  // [T, N, D2] as query, or fp32: see out_dtype
  OutputView softmax_max = {};    // [T, N] fp32, may be absent
  OutputView softmax_sum = {};    // [T, N] fp32, may be absent
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_selected_attention

// nsa_selected_attention_grad: the gradient of nsa_selected_attention (the device's
// NsaSelectedAttentionGrad).
#pragma once

#include "tamis/plan.hpp"

namespace tamis::nsa_selected_attention_grad {

/// With s[j], max and sum of the forward, of the same query, key, ids, lengths and attributes, and
/// over the positions j that a token reads there, as often as its list names them, for every query
/// head h and its kv head g:
///   P[j] = exp(s[j] - softmax_max) / softmax_sum
///   dP[j] = attention_out_grad . value[j, g],  delta = sum_j P[j] dP[j]
///   dS[j] = scale_value P[j] (dP[j] - delta)
///   query_grad = sum_j dS[j] key[j, g]
///   key_grad[j, g] += dS[j] query,  value_grad[j, g] += P[j] attention_out_grad
/// the sums of keys and values over query tokens and the N / N2 heads of g. topk_indices has no
/// gradient.
///
/// The statistics are taken as they are given, whatever they are: P is not normalised again. delta
/// is that sum, not attention_out_grad . attention_out of the rounded output.
///
/// A token that reads no key gives 0, and a key that no token reads gets 0. fp32 accumulation, each
/// gradient rounded once. What a token does not read does not touch its gradients, nor it that
/// key's, whatever either holds. Deterministic, bit for bit, for any number of threads and any
/// other sequences of the call: nothing is added atomically. An output that is absent is not
/// computed. Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "nsa_selected_attention_grad";

  TensorView query = {};               // [T, N, D] fp16, bf16 or fp32, sequences packed
  TensorView key = {};                 // [Tk, N2, D], as query; N2 divides N
  TensorView value = {};               // [Tk, N2, D2]
  TensorView attention_out_grad = {};  // [T, N, D2], as query
  TensorView softmax_max = {};         // [T, N] fp32, of the forward
  TensorView softmax_sum = {};         // the same
  TensorView topk_indices = {};        // [T, N2, K] int32: blocks of the token's sequence
  double scale_value = kNotGiven;
  int64_t head_num = kNotGiven;
  int64_t select_block_size = kNotGiven;
  int64_t select_block_count = kNotGiven;  // K
  IntList actual_seq_qlen = {};            // inclusive prefix sums over query
  IntList actual_seq_kvlen = {};           // inclusive prefix sums over key
  int64_t sparse_mode = 2;
  bool return_query_grad = true;
  bool return_key_grad = true;
  bool return_value_grad = true;
  bool strict = false;
  OutputView query_grad = {};  // as query
  OutputView key_grad = {};    // as key
  OutputView value_grad = {};  // as value
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_selected_attention_grad

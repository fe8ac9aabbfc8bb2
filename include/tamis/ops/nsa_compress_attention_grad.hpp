// nsa_compress_attention_grad: the gradient of nsa_compress_attention. The device has none of its
// own: there it is that of its general attention operator.
#pragma once

#include "tamis/ops/nsa.hpp"
#include "tamis/plan.hpp"

namespace tamis::nsa_compress_attention_grad {

/// With x[i], max and sum of the forward, of the same query, key, mask, limits, lengths and
/// attributes, and over the keys i that a token sees there, for every query head h and its kv head
/// g:
///   P[i] = exp(x[i] - softmax_max) / softmax_sum
///   dP[i] = attention_out_grad . value[i, g],  delta = sum_i P[i] dP[i]
///   dS[i] = scale_value P[i] (dP[i] - delta)
///   query_grad = sum_i dS[i] key[i, g]
///   key_grad[i, g] += dS[i] query,  value_grad[i, g] += P[i] attention_out_grad
/// the sums of keys and values over query tokens and the N / N2 heads of g. Selection has no
/// gradient, so nothing that concerns it alone is an argument.
///
/// A token whose keys are all hidden: with masked_rows uniform its result was the mean of all
/// values, so value_grad[i, g] += attention_out_grad / n for all n keys of the sequence, and no
/// score moved it, so it gives queries and keys nothing; with zero it gives nothing at all.
///
/// The statistics are taken as they are given, whatever they are: P is not normalised again. delta
/// is that sum, not attention_out_grad . attention_out of the rounded output.
///
/// A key that no token sees gets 0. fp32 accumulation, each gradient rounded once. What a token
/// does not see does not touch its gradients, nor it that key's, whatever either holds.
/// Deterministic, bit for bit, for any number of threads and any other sequences of the call:
/// nothing is added atomically. An output that is absent is not computed. Outputs must not overlap
/// inputs.
struct Params {
  static constexpr const char* kOperator = "nsa_compress_attention_grad";

  TensorView query = {};               // [T, N, D] fp16, bf16 or fp32, sequences packed
  TensorView key = {};                 // [Tc, N2, D], as query; N2 divides N
  TensorView value = {};               // [Tc, N2, D2]
  TensorView attention_out_grad = {};  // [T, N, D2], as query
  TensorView softmax_max = {};         // [T, N] fp32, of the forward
  TensorView softmax_sum = {};         // the same
  TensorView atten_mask = {};          // [max_q, max_n] bool or uint8, 1 hides
  TensorView key_limits = {};          // [T] int32; absent: no limits
  double scale_value = kNotGiven;
  int64_t head_num = kNotGiven;
  IntList actual_seq_qlen = {};       // inclusive prefix sums over query
  IntList actual_cmp_seq_kvlen = {};  // inclusive prefix sums over key
  bool causal = false;
  int64_t compress_block_size = 0;    // with causal
  int64_t compress_stride = 0;        // with causal
  IntList actual_raw_seq_kvlen = {};  // inclusive prefix sums over raw tokens; with causal
  MaskedRows masked_rows = MaskedRows::kUniform;
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

}  // namespace tamis::nsa_compress_attention_grad

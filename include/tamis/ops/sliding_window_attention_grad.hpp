// sliding_window_attention_grad: the gradient of sliding_window_attention, and with windows that no
// sequence is longer than of dense causal attention.
#pragma once

#include "tamis/ops/sliding_window_attention.hpp"
#include "tamis/plan.hpp"

namespace tamis::sliding_window_attention_grad {

using QueryLayout = sliding_window_attention::QueryLayout;  // of keys, too

/// With s[j], max and sum of the forward, of the same query, key, lengths and attributes, and over
/// the positions j that a token sees there, for every query head h and its kv head g:
///   P[j] = exp(s[j] - softmax_max) / softmax_sum
///   dP[j] = attention_out_grad . value[j, g],  delta = sum_j P[j] dP[j]
///   dS[j] = scale_value P[j] (dP[j] - delta)
///   query_grad = sum_j dS[j] key[j, g]
///   key_grad[j, g] += dS[j] query,  value_grad[j, g] += P[j] attention_out_grad
/// the sums of keys and values over query tokens and the N / N2 heads of g.
///
/// The statistics are taken as they are given, whatever they are: P is not normalised again. delta
/// is that sum, not attention_out_grad . attention_out, whose rounding to 16 bits would move
/// gradients by half units in the last place where attention is sharp.
///
/// A token that sees no key gives 0, a key that no token sees gets 0, and so does padding. fp32
/// accumulation, each gradient rounded once. What a token does not see does not touch its
/// gradients, nor it that key's, whatever either holds. Deterministic, bit for bit, for any number
/// of threads and any other sequences of the call: nothing is added atomically. An output that is
/// absent is not computed. Outputs must not overlap inputs. There are no pages: only attention over
/// all keys trains.
struct Params {
  static constexpr const char* kOperator = "sliding_window_attention_grad";

  TensorView query = {};               // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};                 // BSND [B, S2, N2, D], TND [T2, N2, D]; as query
  TensorView value = {};               // as key, last dimension D2
  TensorView attention_out_grad = {};  // BSND [B, S1, N, D2], TND [T1, N, D2]; as query
  TensorView softmax_max = {};         // BSND [B, S1, N], TND [T1, N] fp32, of the forward
  TensorView softmax_sum = {};         // the same
  TensorView actual_seq_lengths_query = {};  // [B] int32 or int64; TND prefix sums, else counts
  TensorView actual_seq_lengths_kv = {};     // [B] int32 or int64; TND prefix sums, else counts
  TensorView key_starts = {};                // [B] or [1] int32 or int64; absent: 0
  TensorView key_limits = {};                // BSND [B, S1], TND [T1] int32; absent: no limits
  double scale_value = kNotGiven;
  int64_t window_size = kNotGiven;
  QueryLayout layout_query = QueryLayout::kBsnd;
  QueryLayout layout_kv = QueryLayout::kBsnd;
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

}  // namespace tamis::sliding_window_attention_grad

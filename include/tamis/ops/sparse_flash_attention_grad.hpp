// sparse_flash_attention_grad: the gradient of sparse_flash_attention.
#pragma once

#include "tamis/ops/sparse_flash_attention.hpp"
#include "tamis/plan.hpp"

namespace tamis::sparse_flash_attention_grad {

using QueryLayout = sparse_flash_attention::QueryLayout;  // of keys, too

/// With s[j], max and sum of the forward, of the same query, key, lists, lengths and attributes,
/// and over the positions j that a token's list names there, as often as it names them, for every
/// head h:
///   P[j] = exp(s[j] - softmax_max) / softmax_sum
///   dP[j] = out_grad . value[j],  delta = sum_j P[j] dP[j]
///   dS[j] = scale_value P[j] (dP[j] - delta)
///   query_grad = sum_j dS[j] key[j],  query_rope_grad = sum_j dS[j] key_rope[j]
///   key_grad[j] += dS[j] query,  key_rope_grad[j] += dS[j] query_rope
///   value_grad[j] += P[j] out_grad
///   sinks_grad[h] -= exp(sinks[h] - softmax_max) / softmax_sum delta
/// the sums of keys and values over query tokens and heads, that of sinks over query tokens.
/// Without `value` the latent part of key is the value: its gradient is part of key_grad, and there
/// is no value_grad. Without ropes or sinks there are no gradients of them.
///
/// The statistics are taken as they are given, whatever they are: P is not normalised again. delta
/// is that sum, not out_grad . out, whose rounding to 16 bits would move gradients by half units in
/// the last place where attention is sharp.
///
/// A token whose list names no position that it sees gives 0, a key that no list names gets 0, and
/// so does padding. fp32 accumulation, each gradient rounded once. What a list does not name does
/// not touch gradients, whatever it holds. Deterministic, bit for bit, for any number of threads:
/// nothing is added atomically; those of queries and keys for any other sequences of the call, too.
/// An output that is absent is not computed. Outputs must not overlap inputs. There are neither
/// pages nor rows of bytes: only attention over keys as they were made trains.
struct Params {
  static constexpr const char* kOperator = "sparse_flash_attention_grad";

  TensorView query = {};           // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};             // BSND [B, S2, 1, D], TND [T2, 1, D]; as query
  TensorView sparse_indices = {};  // BSND [B, S1, 1, K], TND [T1, 1, K] int32
  TensorView out_grad = {};        // as query
  TensorView softmax_max = {};     // BSND [B, S1, N], TND [T1, N] fp32, of the forward
  TensorView softmax_sum = {};     // the same
  TensorView value = {};           // as key; absent: the latent part of key
  TensorView actual_seq_lengths_query = {};  // [B] int32 or int64; TND prefix sums, else counts
  TensorView actual_seq_lengths_kv = {};     // [B] int32 or int64; TND prefix sums, else counts
  TensorView query_rope = {};                // as query, last dimension Dr
  TensorView key_rope = {};                  // as key, last dimension Dr
  TensorView sinks = {};                     // [N] fp32
  TensorView key_starts = {};                // [B] or [1] int32 or int64; absent: 0
  TensorView key_limits = {};                // BSND [B, S1], TND [T1] int32; absent: no limits
  double scale_value = kNotGiven;
  int64_t sparse_block_size = 1;
  QueryLayout layout_query = QueryLayout::kBsnd;
  QueryLayout layout_kv = QueryLayout::kBsnd;
  int64_t sparse_mode = 3;
  bool return_query_grad = true;
  bool return_key_grad = true;
  bool return_value_grad = true;
  bool return_query_rope_grad = true;
  bool return_key_rope_grad = true;
  bool return_sinks_grad = true;
  bool strict = false;
  OutputView query_grad = {};       // as query
  OutputView key_grad = {};         // as key
  OutputView value_grad = {};       // as value; with it
  OutputView query_rope_grad = {};  // as query_rope; with it
  OutputView key_rope_grad = {};    // as key_rope; with it
  OutputView sinks_grad = {};       // [N] fp32; with sinks
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::sparse_flash_attention_grad

// dense_lightning_indexer_grad_kl_loss: how far the lightning indexer's softmax over all keys is
// from the main attention's, and the gradients of that loss: the warm-up of DeepSeek sparse
// attention.
#pragma once

#include "tamis/ops/dense_lightning_indexer_softmax_lse.hpp"
#include "tamis/plan.hpp"

namespace tamis::dense_lightning_indexer_grad_kl_loss {

using Layout = dense_lightning_indexer_softmax_lse::Layout;

/// For query token i of a sequence with q query tokens and n keys, over the keys j < thr(i) of
/// dense_lightning_indexer_softmax_lse, with the kv head k(h) = h / (N / N2) of every head h:
///   s[h, j] = scale_value (query[i, h] . key[j, k(h)] + query_rope[i, h] . key_rope[j, k(h)])
///   p[j]    = 1/N sum_h exp(s[h, j] - softmax_max[i, h]) / softmax_sum[i, h]
///   S[g, j] = query_index[i, g] . key_index[j],  I[j] = sum_g weights[i, g] max(0, S[g, j])
///   q[j]    = exp(I[j] - softmax_max_index[i]) / softmax_sum_index[i]
///   row_loss[i] = row_scale[i] sum_j p[j] (ln max(p[j], 1e-8) - ln max(q[j], 1e-8))
///   loss    = sum_i row_loss[i]
/// and its gradients, the main attention being constant:
///   dI[j]    = row_scale[i] (q[j] - p[j])        also where the loss is clamped
///   dS[g, j] = dI[j] weights[i, g] where S[g, j] > 0, else 0
///   weights_grad[i, g] = sum_j dI[j] max(0, S[g, j])
///   query_index_grad[i, g] = sum_j dS[g, j] key_index[j]
///   key_index_grad[j] += dS[g, j] query_index[i, g]
///
/// All four statistics are taken as they are given, whatever they are: nothing is normalised again.
/// A token that sees no key, a token whose row_scale is 0 and padding give 0, and what belongs to
/// them touches nothing; a key that no token sees gets 0. fp32 accumulation, each gradient rounded
/// once; loss adds up the fp32 losses of the rows in their order in float64, rounded once. What a
/// token does not see does not touch it, nor it that key's gradient, whatever either holds.
/// Deterministic, bit for bit, for any number of threads and, but for loss, any other sequences of
/// the call: nothing is added atomically. An output that is absent is not computed. Outputs must
/// not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "dense_lightning_indexer_grad_kl_loss";

  TensorView query = {};              // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};                // BSND [B, S2, N2, D], TND [T2, N2, D]; as query
  TensorView query_index = {};        // BSND [B, S1, Ni, Di], TND [T1, Ni, Di]; as query
  TensorView key_index = {};          // BSND [B, S2, 1, Di], TND [T2, 1, Di]; as query
  TensorView weights = {};            // BSND [B, S1, Ni], TND [T1, Ni]; as query or fp32
  TensorView softmax_max = {};        // BSND [B, S1, N], TND [T1, N] fp32, of the main attention
  TensorView softmax_sum = {};        // the same
  TensorView softmax_max_index = {};  // BSND [B, S1], TND [T1] fp32, of the index scores
  TensorView softmax_sum_index = {};  // the same
  TensorView query_rope = {};         // BSND [B, S1, N, Dr], TND [T1, N, Dr]; as query, optional
  TensorView key_rope = {};           // BSND [B, S2, N2, Dr], TND [T2, N2, Dr]; with query_rope
  TensorView row_scale = {};          // BSND [B, S1], TND [T1] fp32; absent: 1
  TensorView actual_seq_lengths_query = {};  // [B] int32 or int64; TND prefix sums, else counts
  TensorView actual_seq_lengths_key = {};    // [B] int32 or int64; TND prefix sums, else counts
  double scale_value = kNotGiven;
  Layout layout = Layout::kBsnd;
  int64_t sparse_mode = 3;
  bool return_query_index_grad = true;
  bool return_key_index_grad = true;
  bool return_weights_grad = true;
  bool return_row_loss = false;
  bool strict = false;
  OutputView loss = {};              // [1] fp32
  OutputView query_index_grad = {};  // as query_index
  OutputView key_index_grad = {};    // as key_index
  OutputView weights_grad = {};      // as weights
  OutputView row_loss = {};          // BSND [B, S1], TND [T1] fp32
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

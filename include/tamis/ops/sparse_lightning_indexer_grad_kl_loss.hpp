// sparse_lightning_indexer_grad_kl_loss: how far the lightning indexer's softmax over a token's
// list of keys is from the main attention's, and the gradients of that loss: the sparse training of
// DeepSeek sparse attention.
#pragma once

#include "tamis/ops/dense_lightning_indexer_softmax_lse.hpp"
#include "tamis/plan.hpp"

namespace tamis::sparse_lightning_indexer_grad_kl_loss {

using Layout = dense_lightning_indexer_softmax_lse::Layout;

/// For query token i of a sequence with q query tokens and n keys, thr(i) = n - q + i + 1, at least
/// 0 and at most n (sparse_mode 3), or n (sparse_mode 0). Its list: of the first thr(i) ids in
/// sparse_indices those before the first negative one; a position at or past thr(i) is skipped, one
/// that is named twice counts twice. Over the positions j of the list:
///   s[h, j] = scale_value (query[i, h] . key[j] + query_rope[i, h] . key_rope[j])
///   P[j]    = sum_h exp(s[h, j] - softmax_max[i, h]) / softmax_sum[i, h]
///   p[j]    = P[j] / N; with sinks P[j] / sum_j P[j], and 0 where that sum is 0
///   S[g, j] = query_index[i, g] . key_index[j],  I[j] = sum_g weights[i, g] max(0, S[g, j])
///   q[j]    = exp(I[j]) / sum_j exp(I[j])
///   row_loss[i] = row_scale[i] sum_j p[j] (ln max(p[j], 1e-8) - ln max(q[j], 1e-8))
///   loss    = sum_i row_loss[i]
/// and its gradients, the main attention being constant:
///   dI[j]    = row_scale[i] (q[j] - p[j])        also where the loss is clamped
///   dS[g, j] = dI[j] weights[i, g] where S[g, j] > 0, else 0
///   weights_grad[i, g] = sum_j dI[j] max(0, S[g, j])
///   query_index_grad[i, g] = sum_j dS[g, j] key_index[j]
///   key_index_grad[j] += dS[g, j] query_index[i, g]
///
/// The statistics of the main attention, over the same list, are taken as they are given. Of sinks
/// nothing is read: that they are there says that a share of the probabilities is theirs, which p
/// leaves out. A token whose list is empty, a token whose row_scale is 0 and padding give 0, and
/// what belongs to them touches nothing; a key that no list names gets 0. fp32 accumulation, each
/// gradient rounded once; loss adds up the fp32 losses of the rows in their order in float64,
/// rounded once. What a list does not name does not touch its token, nor the token that key's
/// gradient, whatever either holds. Deterministic, bit for bit, for any number of threads and, but
/// for loss, any other sequences of the call: nothing is added atomically. An output that is absent
/// is not computed. Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "sparse_lightning_indexer_grad_kl_loss";

  TensorView query = {};           // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};             // BSND [B, S2, 1, D], TND [T2, 1, D]; as query
  TensorView query_index = {};     // BSND [B, S1, Ni, Di], TND [T1, Ni, Di]; as query
  TensorView key_index = {};       // BSND [B, S2, 1, Di], TND [T2, 1, Di]; as query
  TensorView weights = {};         // BSND [B, S1, Ni], TND [T1, Ni]; as query or fp32
  TensorView sparse_indices = {};  // BSND [B, S1, 1, K], TND [T1, 1, K] int32
  TensorView softmax_max = {};     // BSND [B, S1, N], TND [T1, N] fp32, of the main attention
  TensorView softmax_sum = {};     // the same
  TensorView query_rope = {};      // BSND [B, S1, N, Dr], TND [T1, N, Dr]; as query, optional
  TensorView key_rope = {};        // BSND [B, S2, 1, Dr], TND [T2, 1, Dr]; with query_rope
  TensorView sinks = {};           // [N] fp32, of the main attention, optional
  TensorView row_scale = {};       // BSND [B, S1], TND [T1] fp32; absent: 1
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

}  // namespace tamis::sparse_lightning_indexer_grad_kl_loss

// lightning_indexer_grad: the gradient of the scores that lightning_indexer selects.
#pragma once

#include "tamis/ops/lightning_indexer.hpp"
#include "tamis/plan.hpp"

namespace tamis::lightning_indexer_grad {

using QueryLayout = lightning_indexer::QueryLayout;  // of keys, too

/// With thr(i) of the forward, of the same lengths and attributes, query token i has of the first
/// thr(i) ids in sparse_indices those before the first negative one; a position at or past thr(i),
/// or before key_starts, is skipped, one that is named twice counts twice. Over the positions j of
/// that list, with dy[j] the element of sparse_values_grad in the slot that names j:
///   S[g, j] = query[i, g] . key[j]
///   dS[g, j] = dy[j] weights[i, g] where S[g, j] > 0, else 0
///   weights_grad[i, g] = sum_j dy[j] max(0, S[g, j])
///   query_grad[i, g] = sum_j dS[g, j] key[j]
///   key_grad[j] += dS[g, j] query[i, g]
///
/// Which positions are selected has no gradient. sparse_values_grad is not read in slots that count
/// nothing. A token whose list is empty and padding give 0, a key that no list names gets 0. fp32
/// accumulation, each gradient rounded once; dS is never rounded to 16 bits. What a list does not
/// name does not touch its token, nor the token that key's gradient, whatever either holds.
/// Deterministic, bit for bit, for any number of threads and any other sequences of the call:
/// nothing is added atomically. An output that is absent is not computed. Outputs must not overlap
/// inputs. There are no pages: only keys as they were made train.
struct Params {
  static constexpr const char* kOperator = "lightning_indexer_grad";

  TensorView query = {};               // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};                 // BSND [B, S2, 1, D], TND [T2, 1, D]; as query
  TensorView sparse_values_grad = {};  // as sparse_indices; fp16, bf16 or fp32
  TensorView sparse_indices = {};      // BSND [B, S1, 1, K], TND [T1, 1, K] int32
  TensorView weights = {};             // BSND [B, S1, N], TND [T1, N]; as query or fp32
  TensorView actual_seq_lengths_query = {};   // [B] int32 or int64; TND prefix sums, else counts
  TensorView actual_seq_lengths_key = {};     // [B] int32 or int64; TND prefix sums, else counts
  TensorView key_starts = {};                 // [B] or [1] int32 or int64; absent: 0
  TensorView key_limits = {};                 // BSND [B, S1], TND [T1] int32; absent: no limits
  TensorView actual_seq_lengths_tokens = {};  // [B] or [1] int32 or int64; with compress_ratio
  QueryLayout layout_query = QueryLayout::kBsnd;
  QueryLayout layout_key = QueryLayout::kBsnd;
  int64_t sparse_mode = 3;
  int64_t compress_ratio = 1;
  bool return_query_grad = true;
  bool return_key_grad = true;
  bool return_weights_grad = true;
  bool strict = false;
  OutputView query_grad = {};    // as query
  OutputView key_grad = {};      // as key
  OutputView weights_grad = {};  // as weights
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::lightning_indexer_grad

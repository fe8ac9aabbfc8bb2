// dense_lightning_indexer_softmax_lse: the softmax statistics of index scores over all keys, for
// the warm-up of DeepSeek sparse attention's lightning indexer.
#pragma once

#include "tamis/plan.hpp"

namespace tamis::dense_lightning_indexer_softmax_lse {

enum class Layout : int32_t { kBsnd = 0, kTnd = 1 };

/// For query token i of a sequence with q query tokens and n keys, over the keys j < thr(i):
///   I[j] = sum_g weights[i, g] * max(0, query_index[i, g] . key_index[j])
///   softmax_max_index = max_j I[j],  softmax_sum_index = sum_j exp(I[j] - softmax_max_index)
/// thr(i) = n - q + i + 1, at most n and at least 0 (sparse_mode 3), or n (sparse_mode 0). A token
/// that sees no key, and padding, give -inf and 0. Scores are those of lightning_indexer, with sums
/// over heads in their order. fp32 accumulation. What a token does not see does not touch it.
/// Deterministic, bit for bit, for any number of threads and any other sequences of the call.
/// Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "dense_lightning_indexer_softmax_lse";

  TensorView query_index = {};  // BSND [B, S1, Ni, Di], TND [T1, Ni, Di]; fp16, bf16 or fp32
  TensorView key_index = {};    // BSND [B, S2, 1, Di], TND [T2, 1, Di]; as query_index
  TensorView weights = {};      // BSND [B, S1, Ni], TND [T1, Ni]; as query_index or fp32
  TensorView actual_seq_lengths_query = {};  // [B] int32 or int64; TND prefix sums, else counts
  TensorView actual_seq_lengths_key = {};    // [B] int32 or int64; TND prefix sums, else counts
  Layout layout = Layout::kBsnd;
  int64_t sparse_mode = 3;
  bool strict = false;
  OutputView softmax_max_index = {};  // BSND [B, S1], TND [T1] fp32
  OutputView softmax_sum_index = {};  // the same
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::dense_lightning_indexer_softmax_lse

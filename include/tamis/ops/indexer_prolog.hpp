// indexer_prolog: index queries, head weights and index key rows for lightning_indexer (described
// in document "npu_sparse_attention_pto").
#pragma once

#include "tamis/ops/weight_format.hpp"
#include "tamis/plan.hpp"

namespace tamis::indexer_prolog {

/// Per token, with r() one rounding to the dtype and matrix products accumulated in fp32:
///   q = r(query_norm w_idx_qb)          query[g] = (r(rope(q[g, ..rope])), q[g, rope..])
///   k = r(layernorm(x w_idx_k, in_gamma_k, in_beta_k, epsilon))     its input is not rounded
///   index_k_cache[slot] = (r(rope(k[..rope])), k[rope..])
///   index_k_shadow, of the same row: its integers and bounds as quantize_index_keys makes them
///   weights = r(x w_idx_proj)
/// layernorm(v) = (v - mean) / sqrt(variance + epsilon) gamma + beta, variance = mean of squares.
/// epsilon is rounded to fp32 before use, by the reference, too. rope rotates the first channels of
/// a head, as many as sin has, or the last ones (rope_last): u cos + (-u[half..], u[..half]) sin,
/// where u is v (rope_interleaved false) or its even channels, then the odd ones (true).
///
/// Outputs that are absent are not computed, and what only they need may be absent: query_norm and
/// w_idx_qb for query, w_idx_proj for weights. `slot` is the token's cache_index, page * page_size
/// + row: a negative one writes nothing, one past the cache is an error, of equal ones the last
/// token's wins. If no token writes, w_idx_k is not read. Slots are read by plan(). No tensor that
/// is written may share elements with another. A token's results do not depend on the other tokens
/// of the call, nor on the number of threads, nor on weight_format, bit for bit.
///
/// Shapes are [T, ...] or [B, S1, ...]; everything has the dtype of x except cache_index.
struct Params {
  static constexpr const char* kOperator = "indexer_prolog";

  TensorView x = {};               // [T, H] fp16, bf16 or fp32
  TensorView query_norm = {};      // [T, Lq], as mla_prolog gives it; for query only
  TensorView w_idx_qb = {};        // [Lq, Ni Di]; for query only
  TensorView w_idx_k = {};         // [H, Di]
  TensorView w_idx_proj = {};      // [H, Ni]; for weights only
  TensorView in_gamma_k = {};      // [Di]
  TensorView in_beta_k = {};       // [Di]
  TensorView sin = {};             // [T, rope], rope at most Di
  TensorView cos = {};             // [T, rope]
  TensorView cache_index = {};     // [T] int32 or int64
  OutputView index_k_cache = {};   // [pages, page_size, 1, Di], updated
  OutputView index_k_shadow = {};  // [pages, panels, panel_bytes] uint8, updated; optional
  double epsilon = 1e-6;
  bool rope_interleaved = true;
  bool rope_last = false;
  WeightFormat weight_format = WeightFormat::kNd;  // of the three weights
  bool strict = false;
  OutputView query = {};    // [T, Ni, Di]
  OutputView weights = {};  // [T, Ni]
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came; then nothing has been written.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::indexer_prolog

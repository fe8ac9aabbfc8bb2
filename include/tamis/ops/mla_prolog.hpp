// mla_prolog: absorbed queries and latent cache rows of multi-head latent attention (described in
// document "npu_sparse_attention_pto").
#pragma once

#include "tamis/ops/weight_format.hpp"
#include "tamis/plan.hpp"

namespace tamis::mla_prolog {

/// Per token, with r() one rounding to the dtype and matrix products accumulated in fp32:
///   cq = r(x w_dq + bias_dq)       query_norm = r(rmsnorm(cq, gamma_cq, epsilon_cq))
///   q = r(query_norm w_uq_qr)      per head: nope channels, then rope channels
///   query[h] = r(q_nope[h] w_uk[h])            query_rope[h] = r(rope(q_rope[h]))
///   kv = r(x w_dkv_kr + bias_dkv_kr)           latent channels, then rope channels
///   kv_cache[slot] = r(rmsnorm(kv_latent, gamma_ckv, epsilon_ckv))
///   kr_cache[slot] = r(rope(kv_rope)), of r(rmsnorm(kv_rope, gamma_kr, epsilon_kr)) with gamma_kr
/// rmsnorm(v) = v / sqrt(mean(v^2) + epsilon) gamma. All epsilons are rounded to fp32 before use,
/// by the reference, too. rope leaves halves: u cos + (-u[half..], u[..half]) sin, with all entries
/// of sin and cos, where u is v by interleaved pairs, (v[0::2], v[1::2]) (rope_interleaved true),
/// or v (false). sin and cos without channels are no rope at all.
///
/// query_source stands in for query_norm where queries have no low rank, or more before it: then
/// w_dq, gamma_cq, bias_dq and the output query_norm are absent. Biases and gamma_kr may be absent.
///
/// Outputs that are absent are not computed; without all three only the caches are written and
/// w_dq, w_uq_qr and w_uk are not read. `slot` is the token's cache_index, page * page_size + row:
/// a negative one writes nothing, one past the cache is an error, of equal ones the last token's
/// wins. If no token writes, w_dkv_kr is not read. Slots are read by plan(). No tensor that is
/// written may share elements with another; the two caches may interleave. A token's results do not
/// depend on the other tokens of the call, nor on the number of threads, nor on weight_format, bit
/// for bit.
///
/// Shapes are [T, ...] or [B, S1, ...]; everything has the dtype of x except cache_index.
struct Params {
  static constexpr const char* kOperator = "mla_prolog";

  TensorView x = {};             // [T, H] fp16, bf16 or fp32
  TensorView query_source = {};  // [T, Lq]; or w_dq and gamma_cq
  TensorView w_dq = {};          // [H, Lq]
  TensorView w_uq_qr = {};       // [Lq, N (nope + rope)]
  TensorView w_uk = {};          // [N, nope, latent], always ND
  TensorView w_dkv_kr = {};      // [H, latent + rope]
  TensorView bias_dq = {};       // [Lq]; optional
  TensorView bias_dkv_kr = {};   // [latent + rope]; optional
  TensorView gamma_cq = {};      // [Lq]
  TensorView gamma_ckv = {};     // [latent]
  TensorView gamma_kr = {};      // [rope]; optional
  TensorView sin = {};           // [T, rope]
  TensorView cos = {};           // [T, rope]
  TensorView cache_index = {};   // [T] int32 or int64
  OutputView kv_cache = {};      // [pages, page_size, 1, latent], updated
  OutputView kr_cache = {};      // [pages, page_size, 1, rope], updated
  double epsilon_cq = 1e-5;
  double epsilon_ckv = 1e-5;
  double epsilon_kr = 1e-5;
  bool rope_interleaved = true;
  WeightFormat weight_format = WeightFormat::kNd;  // of w_dq, w_uq_qr and w_dkv_kr
  bool strict = false;
  OutputView query = {};       // [T, N, latent]
  OutputView query_rope = {};  // [T, N, rope]
  OutputView query_norm = {};  // [T, Lq]
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came; then nothing has been written.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::mla_prolog

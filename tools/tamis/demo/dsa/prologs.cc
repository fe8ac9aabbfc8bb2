#include "tools/tamis/demo/dsa/prologs.h"

namespace tamis::tools::demo::dsa {
namespace {

constexpr DType kType = DType::kBFloat16;

TensorView Weight(const std::vector<uint16_t>& w, int64_t rows) {
  return {w.data(), kType, {rows, static_cast<int64_t>(w.size()) / rows}};
}

}  // namespace

mla_prolog::Params MlaParams(const Weights& weights, const Tokens& tokens, Caches* caches) {
  mla_prolog::Params params;
  params.x = {tokens.x.data(), kType, {1, tokens.count, kHidden}};
  params.w_dq = Weight(weights.w_dq, kHidden);
  params.w_uq_qr = Weight(weights.w_uq_qr, kQueryRank);
  params.w_uk = {weights.w_uk.data(), kType, {kHeads, kNope, kLatent}};
  params.w_dkv_kr = Weight(weights.w_dkv_kr, kHidden);
  params.gamma_cq = {weights.ones.data(), kType, {kQueryRank}};
  params.gamma_ckv = {weights.ones.data(), kType, {kLatent}};
  params.sin = {tokens.sin.data(), kType, {1, tokens.count, kRope}};
  params.cos = {tokens.cos.data(), kType, {1, tokens.count, kRope}};
  params.cache_index = {tokens.slots.data(), DType::kInt32, {1, tokens.count}};
  params.kv_cache = caches->kv_view();
  params.kr_cache = caches->kr_view();
  params.weight_format = WeightFormat::kNz;
  return params;
}

indexer_prolog::Params IndexParams(const Weights& weights, const Tokens& tokens, Caches* caches) {
  indexer_prolog::Params params;
  params.x = {tokens.x.data(), kType, {1, tokens.count, kHidden}};
  params.w_idx_k = Weight(weights.w_idx_k, kHidden);
  params.in_gamma_k = {weights.ones.data(), kType, {kIndexDim}};
  params.in_beta_k = {weights.zeros.data(), kType, {kIndexDim}};
  params.sin = {tokens.sin.data(), kType, {1, tokens.count, kRope}};
  params.cos = {tokens.cos.data(), kType, {1, tokens.count, kRope}};
  params.cache_index = {tokens.slots.data(), DType::kInt32, {1, tokens.count}};
  params.index_k_cache = caches->index_view();
  params.weight_format = WeightFormat::kNz;
  return params;
}

sparse_attention_pto::Params FusedParams(const Weights& weights, const Tokens& tokens,
                                         Caches* caches) {
  const mla_prolog::Params mla = MlaParams(weights, tokens, caches);
  const indexer_prolog::Params index = IndexParams(weights, tokens, caches);
  sparse_attention_pto::Params params;
  params.x = mla.x;
  params.w_dq = mla.w_dq;
  params.w_uq_qr = mla.w_uq_qr;
  params.w_uk = mla.w_uk;
  params.w_dkv_kr = mla.w_dkv_kr;
  params.gamma_cq = mla.gamma_cq;
  params.gamma_ckv = mla.gamma_ckv;
  params.sin = mla.sin;
  params.cos = mla.cos;
  params.cache_index = mla.cache_index;
  params.kv_cache = mla.kv_cache;
  params.kr_cache = mla.kr_cache;
  params.w_idx_qb = Weight(weights.w_idx_qb, kQueryRank);
  params.w_idx_k = index.w_idx_k;
  params.w_idx_proj = Weight(weights.w_idx_proj, kHidden);
  params.in_gamma_k = index.in_gamma_k;
  params.in_beta_k = index.in_beta_k;
  params.index_k_cache = index.index_k_cache;
  params.weight_format = WeightFormat::kNz;
  params.scale_value = ScaleValue();
  params.sparse_count = kTop;
  return params;
}

}  // namespace tamis::tools::demo::dsa

#include <algorithm>
#include <string>
#include <utility>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/mla_prolog/cpu/kernel_units.h"
#include "ops/mla_prolog/problem.h"
#include "prim/call/cache_slots.h"
#include "prim/call/prologs.h"
#include "prim/call/room.h"
#include "prim/formats/weight.h"

namespace tamis::mla_prolog {
namespace {

Status CheckDims(const base::Dims& d) {
  // Sizes of dimensions that no element stands behind are the caller's word alone.
  int64_t width = 0;
  int64_t kv_width = 0;
  if (!base::CheckedAdd(d["nope"], d["rope"], &width) ||
      !base::CheckedAdd(d["latent"], d["rope"], &kv_width)) {
    return base::Invalid("sin", "a width below 2^63 with nope or latent", d["rope"]);
  }
  if (d["rope"] % 2 != 0) return base::Invalid("sin", "an even width", d["rope"]);
  int64_t uq_width = 0;
  if (!base::CheckedMul(d["N"], width, &uq_width) || d["uq_width"] != uq_width) {
    return base::Invalid(
        "w_uq_qr",
        std::to_string(d["N"]) + " heads of nope + rope = " + std::to_string(width) + " columns",
        d["uq_width"]);
  }
  if (d["kv_width"] != kv_width) {
    return base::Invalid("w_dkv_kr", "latent + rope = " + std::to_string(kv_width) + " columns",
                         d["kv_width"]);
  }
  return Status::Ok();
}

Status CheckEpsilon(const char* name, double epsilon) {
  return epsilon >= 0 ? Status::Ok() : base::Invalid(name, "at least 0", std::to_string(epsilon));
}

// Queries of low rank, or what the caller has made; never both.
Status CheckSource(const Params& params) {
  if (params.query_source.absent()) {
    if (params.w_dq.absent()) return base::NullArgument("w_dq");
    return params.gamma_cq.absent() ? base::NullArgument("gamma_cq") : Status::Ok();
  }
  const std::pair<const char*, const TensorView*> others[] = {
      {"w_dq", &params.w_dq}, {"gamma_cq", &params.gamma_cq}, {"bias_dq", &params.bias_dq}};
  for (const auto& [name, view] : others) {
    if (!view->absent()) return base::Invalid(name, "none beside query_source", "a tensor");
  }
  return Status::Ok();
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  TAMIS_RETURN_IF_ERROR(CheckSource(params));
  TAMIS_RETURN_IF_ERROR(CheckDims(d));
  TAMIS_RETURN_IF_ERROR(CheckEpsilon("epsilon_cq", params.epsilon_cq));
  TAMIS_RETURN_IF_ERROR(CheckEpsilon("epsilon_ckv", params.epsilon_ckv));
  TAMIS_RETURN_IF_ERROR(CheckEpsilon("epsilon_kr", params.epsilon_kr));
  Problem& p = *problem;
  p.format = params.weight_format;
  TAMIS_RETURN_IF_ERROR(CheckStrides(p, params));
  TAMIS_RETURN_IF_ERROR(prim::TakeTokens(params, params.kv_cache, &p));
  p.epsilon_cq = static_cast<float>(params.epsilon_cq);
  p.epsilon_ckv = static_cast<float>(params.epsilon_ckv);
  p.epsilon_kr = static_cast<float>(params.epsilon_kr);
  p.interleaved = params.rope_interleaved;
  p.heads = d["N"];
  p.nope = d["nope"];
  p.rope = d["rope"];
  p.latent = d["latent"];
  p.query_rank = d["Lq"];
  return Status::Ok();
}

Status Room::CheckStrides(const Problem& p, const Params& in) {
  TAMIS_RETURN_IF_ERROR(prim::CheckWeight("w_dq", in.w_dq, p.format));
  TAMIS_RETURN_IF_ERROR(prim::CheckWeight("w_uq_qr", in.w_uq_qr, p.format));
  return prim::CheckWeight("w_dkv_kr", in.w_dkv_kr, p.format);
}

void Room::Bind(const Problem& p, const Params& in, KernelArgs* args) {
  const int first_inner = p.batched ? 2 : 1;
  KernelArgs& a = *args;
  a.x = in.x.data;
  a.x_at = prim::TokenStridesOf(in.x, p.batched);
  a.query_source = in.query_source.data;
  a.query_source_at = prim::TokenStridesOf(in.query_source, p.batched);
  a.dq = prim::WeightOf(in.w_dq, p.format);
  a.uq_qr = prim::WeightOf(in.w_uq_qr, p.format);
  a.uk = prim::NdWeight(in.w_uk);
  a.uk_head_stride = in.w_uk.strides[0];
  a.dkv_kr = prim::WeightOf(in.w_dkv_kr, p.format);
  a.bias_dq = in.bias_dq.data;
  a.bias_dkv_kr = in.bias_dkv_kr.data;
  a.gamma_cq = in.gamma_cq.data;
  a.gamma_ckv = in.gamma_ckv.data;
  a.gamma_kr = in.gamma_kr.data;
  a.sin = in.sin.data;
  a.sin_at = prim::TokenStridesOf(in.sin, p.batched);
  a.cos = in.cos.data;
  a.cos_at = prim::TokenStridesOf(in.cos, p.batched);
  a.kv_cache = in.kv_cache.data;
  a.kv_cache_at = prim::PagesOf(in.kv_cache);
  a.kr_cache = in.kr_cache.data;
  a.kr_cache_at = prim::PagesOf(in.kr_cache);
  a.query = in.query.data;
  a.query_at = prim::TokenStridesOf(in.query, p.batched);
  a.query_head_stride = in.query.strides[first_inner];
  a.query_rope = in.query_rope.data;
  a.query_rope_at = prim::TokenStridesOf(in.query_rope, p.batched);
  a.query_rope_head_stride = in.query_rope.strides[first_inner];
  a.query_norm = in.query_norm.data;
  a.query_norm_at = prim::TokenStridesOf(in.query_norm, p.batched);
}

namespace {

void FillArgs(Problem& p, const Params& in) {
  KernelArgs& a = p.args;
  a = {};
  Room::Bind(p, in, &a);
  a.slots = p.slots.data();
  a.blocks = prim::MakeTokenBlocks(p.tokens);
  a.heads = p.heads;
  a.nope = p.nope;
  a.rope = p.rope;
  a.latent = p.latent;
  a.query_rank = p.query_rank;
  a.epsilon_cq = p.epsilon_cq;
  a.epsilon_ckv = p.epsilon_ckv;
  a.epsilon_kr = p.epsilon_kr;
  a.interleaved = p.interleaved;
  a.with_bias_dq = !in.bias_dq.absent();
  a.with_bias_kv = !in.bias_dkv_kr.absent();
  a.with_gamma_kr = !in.gamma_kr.absent();
  a.with_source = !in.query_source.absent();
  a.with_norm =
      !a.with_source && (a.query != nullptr || a.query_rope != nullptr || a.query_norm != nullptr);
  a.with_kv = prim::WritesAny(p.slots);
  a.element = prim::ElementOf(p.dtype);
}

}  // namespace

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kProject = {prim::kMlaPrologProjectUnits};
  static constexpr prim::KernelTable kNorm = {prim::kMlaPrologNormUnits};
  static constexpr prim::KernelTable kHead = {prim::kMlaPrologHeadUnits};
  FillArgs(p, in);
  const KernelArgs& a = p.args;
  if (p.tokens == 0) return;
  const bool bf16_pairs = a.element == prim::Element::kBFloat16 && prim::RowsPairUp(a.dq) &&
                          prim::RowsPairUp(a.uq_qr) && prim::RowsPairUp(a.uk) &&
                          prim::RowsPairUp(a.dkv_kr);
  work->scratch_bytes = prim::Times(ScratchFloats(a), sizeof(float));
  work->shared_bytes = prim::Times(SharedElems(a), prim::BytesOf(a.element));
  for (int64_t block = 0; block < base::CeilDiv(p.tokens, a.blocks.block_tokens); ++block) {
    work->phases.push_back(
        {ProjectItems(a), kProject.at(target.level, bf16_pairs), block * ProjectItems(a)});
    work->phases.push_back(
        {NormItems(a), kNorm.at(target.level, bf16_pairs), block * NormItems(a)});
    if (HeadItems(a) > 0)
      work->phases.push_back(
          {HeadItems(a), kHead.at(target.level, bf16_pairs), block * HeadItems(a)});
  }
}

std::string Room::Blocking(const Problem& p) { return prim::BlockingOf(p.args.blocks); }

Cost Room::CountCost(const Problem& p, const Params& in) {
  const auto tokens = static_cast<double>(p.tokens);
  const auto hidden = static_cast<double>(in.w_dkv_kr.shape[0]);
  const auto rank = static_cast<double>(p.query_rank);
  const auto heads = static_cast<double>(p.heads);
  const auto nope = static_cast<double>(p.nope);
  const auto rope = static_cast<double>(p.rope);
  const auto latent = static_cast<double>(p.latent);
  const bool query = !in.query.absent();
  const bool query_rope = !in.query_rope.absent();
  const bool norm = !in.query_norm.absent();
  const bool source = !in.query_source.absent() && (query || query_rope);
  const bool cache = prim::WritesAny(p.slots);
  double weights = cache ? hidden * (latent + rope) : 0;
  double written = cache ? latent + rope : 0;
  if (in.query_source.absent() && (query || query_rope || norm)) weights += hidden * rank;
  if (query) weights += heads * nope * (rank + latent);
  if (query_rope) weights += heads * rope * rank;
  if (query) written += heads * latent;
  if (query_rope) written += heads * rope;
  if (norm) written += rank;
  Cost cost;
  cost.flops = 2 * tokens * weights;
  const auto bytes = static_cast<double>(base::ItemSize(p.dtype));
  cost.read_bytes = bytes * (weights + tokens * (hidden + 2 * rope + (source ? rank : 0)));
  cost.write_bytes = bytes * tokens * written;
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::mla_prolog

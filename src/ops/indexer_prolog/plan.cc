#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/indexer_prolog/cpu/kernel_units.h"
#include "ops/indexer_prolog/problem.h"
#include "prim/call/cache_slots.h"
#include "prim/call/prologs.h"
#include "prim/call/room.h"
#include "prim/formats/key_shadow_contract.h"
#include "prim/formats/weight.h"

namespace tamis::indexer_prolog {
namespace {

// Ni comes with w_idx_proj, else from the columns of w_idx_qb; without both nothing has heads.
Status FindHeads(const Params& params, base::Dims* dims) {
  base::Dims& d = *dims;
  if (params.w_idx_qb.absent()) {
    if (!d.Has("Ni")) d.Set("Ni", 0);
    return Status::Ok();
  }
  const int64_t width = d["qb_width"];
  if (!d.Has("Ni")) d.Set("Ni", d["Di"] > 0 ? width / d["Di"] : 0);
  int64_t expected = 0;
  if (!base::CheckedMul(d["Ni"], d["Di"], &expected) || expected != width) {
    return base::Invalid(
        "w_idx_qb",
        std::to_string(d["Ni"]) + " heads of Di = " + std::to_string(d["Di"]) + " columns", width);
  }
  return Status::Ok();
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  TAMIS_RETURN_IF_ERROR(FindHeads(params, dims));
  if (d["rope"] % 2 != 0) return base::Invalid("sin", "an even width", d["rope"]);
  if (d["rope"] > d["Di"])
    return base::Invalid("sin", "a width of at most Di = " + std::to_string(d["Di"]), d["rope"]);
  if (!(params.epsilon >= 0))
    return base::Invalid("epsilon", "at least 0", std::to_string(params.epsilon));
  if (!params.index_k_shadow.absent()) {
    TAMIS_RETURN_IF_ERROR(
        prim::CheckShadowDims("index_k_shadow", prim::TokenLayout::kPaged, d["Di"], d));
  }
  Problem& p = *problem;
  p.format = params.weight_format;
  TAMIS_RETURN_IF_ERROR(CheckStrides(p, params));
  TAMIS_RETURN_IF_ERROR(prim::TakeTokens(params, params.index_k_cache, &p));
  p.epsilon = static_cast<float>(params.epsilon);
  p.interleaved = params.rope_interleaved;
  p.rope_last = params.rope_last;
  p.heads = d["Ni"];
  p.dim = d["Di"];
  p.rope = d["rope"];
  return Status::Ok();
}

Status Room::CheckStrides(const Problem& p, const Params& in) {
  TAMIS_RETURN_IF_ERROR(prim::CheckWeight("w_idx_qb", in.w_idx_qb, p.format));
  TAMIS_RETURN_IF_ERROR(prim::CheckWeight("w_idx_k", in.w_idx_k, p.format));
  return prim::CheckWeight("w_idx_proj", in.w_idx_proj, p.format);
}

void Room::Bind(const Problem& p, const Params& in, KernelArgs* args) {
  KernelArgs& a = *args;
  a.x = in.x.data;
  a.x_at = prim::TokenStridesOf(in.x, p.batched);
  a.query_norm = in.query_norm.data;
  a.query_norm_at = prim::TokenStridesOf(in.query_norm, p.batched);
  a.qb = prim::WeightOf(in.w_idx_qb, p.format);
  a.k = prim::WeightOf(in.w_idx_k, p.format);
  a.proj = prim::WeightOf(in.w_idx_proj, p.format);
  a.gamma = in.in_gamma_k.data;
  a.beta = in.in_beta_k.data;
  a.sin = in.sin.data;
  a.sin_at = prim::TokenStridesOf(in.sin, p.batched);
  a.cos = in.cos.data;
  a.cos_at = prim::TokenStridesOf(in.cos, p.batched);
  a.cache = in.index_k_cache.data;
  a.cache_at = prim::PagesOf(in.index_k_cache);
  a.shadow = prim::Data<uint8_t>(in.index_k_shadow);
  a.shadow_page_stride = in.index_k_shadow.strides[0];
  a.shadow_panel_stride = in.index_k_shadow.strides[1];
  a.query = in.query.data;
  a.query_at = prim::TokenStridesOf(in.query, p.batched);
  a.query_head_stride = in.query.strides[p.batched ? 2 : 1];
  a.weights = in.weights.data;
  a.weights_at = prim::TokenStridesOf(in.weights, p.batched);
}

namespace {

void FillArgs(Problem& p, const Params& in) {
  KernelArgs& a = p.args;
  a = {};
  Room::Bind(p, in, &a);
  a.slots = p.slots.data();
  a.blocks = prim::MakeTokenBlocks(p.tokens);
  a.heads = p.heads;
  a.dim = p.dim;
  a.rope = p.rope;
  a.epsilon = p.epsilon;
  a.interleaved = p.interleaved;
  a.rope_at = p.rope_last ? p.dim - p.rope : 0;
  a.with_keys = prim::WritesAny(p.slots);
  a.element = prim::ElementOf(p.dtype);
}

}  // namespace

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kProject = {prim::kIndexerPrologProjectUnits};
  static constexpr prim::KernelTable kNorm = {prim::kIndexerPrologNormUnits};
  FillArgs(p, in);
  const KernelArgs& a = p.args;
  if (p.tokens == 0) return;
  const bool bf16_pairs = a.element == prim::Element::kBFloat16 && prim::RowsPairUp(a.qb) &&
                          prim::RowsPairUp(a.k) && prim::RowsPairUp(a.proj);
  work->scratch_bytes = prim::Times(ScratchFloats(a), sizeof(float));
  work->shared_bytes = prim::Times(SharedFloats(a), sizeof(float));
  for (int64_t block = 0; block < base::CeilDiv(p.tokens, a.blocks.block_tokens); ++block) {
    work->phases.push_back(
        {ProjectItems(a), kProject.at(target.level, bf16_pairs), block * ProjectItems(a)});
    work->phases.push_back(
        {NormItems(a), kNorm.at(target.level, bf16_pairs), block * NormItems(a)});
  }
}

std::string Room::Blocking(const Problem& p) { return prim::BlockingOf(p.args.blocks); }

Cost Room::CountCost(const Problem& p, const Params& in) {
  const auto tokens = static_cast<double>(p.tokens);
  const auto hidden = static_cast<double>(in.w_idx_k.shape[0]);
  const auto rank = static_cast<double>(in.w_idx_qb.absent() ? 0 : in.w_idx_qb.shape[0]);
  const auto heads = static_cast<double>(p.heads);
  const auto dim = static_cast<double>(p.dim);
  const bool query = !in.query.absent();
  const bool weights = !in.weights.absent();
  const bool keys = prim::WritesAny(p.slots);
  const double elems =
      (keys ? hidden * dim : 0) + (query ? rank * heads * dim : 0) + (weights ? hidden * heads : 0);
  const bool shadow = keys && !in.index_k_shadow.absent();
  const auto bytes = static_cast<double>(base::ItemSize(p.dtype));
  Cost cost;
  cost.flops = 2 * tokens * elems;
  cost.read_bytes =
      bytes * (elems + tokens * (hidden + (query ? rank : 0) + 2 * static_cast<double>(p.rope)));
  cost.write_bytes =
      bytes * tokens * ((keys ? dim : 0) + (query ? heads * dim : 0) + (weights ? heads : 0)) +
      (shadow ? tokens * (4.0 * static_cast<double>(prim::ShadowGroups(p.dim)) + 12.0) : 0.0);
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::indexer_prolog

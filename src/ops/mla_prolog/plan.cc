#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/mla_prolog/problem.h"
#include "prim/cache_slots.h"
#include "prim/linear.h"
#include "prim/prologs.h"
#include "prim/room.h"

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

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  TAMIS_RETURN_IF_ERROR(CheckDims(d));
  TAMIS_RETURN_IF_ERROR(CheckEpsilon("epsilon_cq", params.epsilon_cq));
  TAMIS_RETURN_IF_ERROR(CheckEpsilon("epsilon_ckv", params.epsilon_ckv));
  Problem& p = *problem;
  const WeightFormat format = params.weight_format;
  TAMIS_RETURN_IF_ERROR(prim::NormaliseWeight("w_dq", params.w_dq, format, &p.dq));
  TAMIS_RETURN_IF_ERROR(prim::NormaliseWeight("w_uq_qr", params.w_uq_qr, format, &p.uq_qr));
  TAMIS_RETURN_IF_ERROR(prim::NormaliseWeight("w_dkv_kr", params.w_dkv_kr, format, &p.dkv_kr));
  TAMIS_RETURN_IF_ERROR(prim::TakeTokens(params, params.kv_cache, &p));
  p.params = params;
  p.params.epsilon_cq = static_cast<float>(params.epsilon_cq);  // kernels compute with them
  p.params.epsilon_ckv = static_cast<float>(params.epsilon_ckv);
  p.heads = d["N"];
  p.nope = d["nope"];
  p.rope = d["rope"];
  p.latent = d["latent"];
  p.query_rank = d["Lq"];
  return Status::Ok();
}

namespace {

void FillArgs(Problem& p) {
  const Params& in = p.params;
  const int first_inner = p.batched ? 2 : 1;
  p.cache_rows.clear();
  for (int64_t slot : p.slots) {
    p.cache_rows.push_back(slot < 0 ? CacheRow{-1, -1}
                                    : CacheRow{prim::SlotOffset(in.kv_cache, slot),
                                               prim::SlotOffset(in.kr_cache, slot)});
  }
  KernelArgs& a = p.args;
  a = {};
  a.x = prim::Data<const uint16_t>(in.x);
  a.x_at = prim::TokenStridesOf(in.x, p.batched);
  a.dq = p.dq;
  a.uq_qr = p.uq_qr;
  a.uk = prim::NdWeight(in.w_uk, 0);
  a.uk_head_stride = in.w_uk.strides[0];
  a.dkv_kr = p.dkv_kr;
  a.gamma_cq = prim::Data<const uint16_t>(in.gamma_cq);
  a.gamma_ckv = prim::Data<const uint16_t>(in.gamma_ckv);
  a.sin = prim::Data<const uint16_t>(in.sin);
  a.sin_at = prim::TokenStridesOf(in.sin, p.batched);
  a.cos = prim::Data<const uint16_t>(in.cos);
  a.cos_at = prim::TokenStridesOf(in.cos, p.batched);
  a.kv_cache = prim::Data<uint16_t>(in.kv_cache);
  a.kr_cache = prim::Data<uint16_t>(in.kr_cache);
  a.cache_rows = p.cache_rows.data();
  a.query = prim::Data<uint16_t>(in.query);
  a.query_at = prim::TokenStridesOf(in.query, p.batched);
  a.query_head_stride = in.query.strides[first_inner];
  a.query_rope = prim::Data<uint16_t>(in.query_rope);
  a.query_rope_at = prim::TokenStridesOf(in.query_rope, p.batched);
  a.query_rope_head_stride = in.query_rope.strides[first_inner];
  a.query_norm = prim::Data<uint16_t>(in.query_norm);
  a.query_norm_at = prim::TokenStridesOf(in.query_norm, p.batched);
  a.blocks = prim::MakeTokenBlocks(p.tokens);
  a.heads = p.heads;
  a.nope = p.nope;
  a.rope = p.rope;
  a.latent = p.latent;
  a.query_rank = p.query_rank;
  a.epsilon_cq = static_cast<float>(in.epsilon_cq);
  a.epsilon_ckv = static_cast<float>(in.epsilon_ckv);
  a.with_norm = a.query != nullptr || a.query_rope != nullptr || a.query_norm != nullptr;
  a.with_kv = prim::WritesAny(p.slots);
  a.bfloat16 = p.dtype == DType::kBFloat16;
}

}  // namespace

prim::CpuWork Room::OnCpu(Problem& p, Level level) {
  static constexpr prim::KernelTable kProject = TAMIS_PAIR_KERNEL_TABLE(MlaPrologProject);
  static constexpr prim::KernelTable kNorm = TAMIS_PAIR_KERNEL_TABLE(MlaPrologNorm);
  static constexpr prim::KernelTable kHead = TAMIS_PAIR_KERNEL_TABLE(MlaPrologHead);
  FillArgs(p);
  const KernelArgs& a = p.args;
  prim::CpuWork work = prim::WorkInBlocks(&a, a.blocks);
  if (p.tokens == 0) return work;
  const bool pairs = a.bfloat16 && prim::RowsPairUp(a.dq) && prim::RowsPairUp(a.uq_qr) &&
                     prim::RowsPairUp(a.uk) && prim::RowsPairUp(a.dkv_kr);
  work.scratch_bytes = prim::Times(ScratchFloats(a), sizeof(float));
  work.shared_bytes = prim::Times(SharedElems(a), sizeof(uint16_t));
  for (int64_t block = 0; block < base::CeilDiv(p.tokens, a.blocks.block_tokens); ++block) {
    work.phases.push_back({ProjectItems(a), kProject.at(level, pairs), block * ProjectItems(a)});
    work.phases.push_back({NormItems(a), kNorm.at(level, pairs), block * NormItems(a)});
    if (HeadItems(a) > 0)
      work.phases.push_back({HeadItems(a), kHead.at(level, pairs), block * HeadItems(a)});
  }
  return work;
}

Cost Room::CountCost(const Problem& p) {
  const auto tokens = static_cast<double>(p.tokens);
  const auto hidden = static_cast<double>(p.dq.rows);
  const auto rank = static_cast<double>(p.query_rank);
  const auto heads = static_cast<double>(p.heads);
  const auto nope = static_cast<double>(p.nope);
  const auto rope = static_cast<double>(p.rope);
  const auto latent = static_cast<double>(p.latent);
  const bool query = !p.params.query.absent();
  const bool query_rope = !p.params.query_rope.absent();
  const bool norm = !p.params.query_norm.absent();
  const bool cache = prim::WritesAny(p.slots);
  double weights = cache ? hidden * (latent + rope) : 0;
  double written = cache ? latent + rope : 0;
  if (query || query_rope || norm) weights += hidden * rank;
  if (query) weights += heads * nope * (rank + latent);
  if (query_rope) weights += heads * rope * rank;
  if (query) written += heads * latent;
  if (query_rope) written += heads * rope;
  if (norm) written += rank;
  Cost cost;
  cost.flops = 2 * tokens * weights;
  cost.read_bytes = 2 * (weights + tokens * (hidden + 2 * rope));
  cost.write_bytes = 2 * tokens * written;
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::mla_prolog

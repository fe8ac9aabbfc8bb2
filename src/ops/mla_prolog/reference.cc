// The specification: the formula of mla_prolog.hpp, step by step in float64, rounded to the dtype
// where it says so.
#include "base/dtype.h"
#include "ops/mla_prolog/problem.h"
#include "prim/formats/weight.h"
#include "prim/references/estimate.h"

namespace tamis::mla_prolog {
using prim::EstimateRow;
using prim::Part;
using prim::Put;

namespace {

// r(x w + bias), all columns.
EstimateRow Projected(const Problem& p, const EstimateRow& x, const TensorView& w, int64_t columns,
                      const TensorView& bias) {
  EstimateRow y = prim::LinearEstimate(x, prim::WeightOf(w, p.format), p.dtype, 0, columns);
  if (!bias.absent()) y = prim::SumEstimate(y, prim::ExactRow(bias));
  prim::RoundTo(p.dtype, &y);
  return y;
}

}  // namespace

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t token, size_t slot,
                        base::Golden* golden) {
  enum { kKvCache, kKrCache, kQuery, kQueryRope, kQueryNorm };  // the contract's outputs, in order
  std::vector<base::GoldenOutput>& out = golden->outputs;
  const EstimateRow x = prim::ExactTokenRow(in.x, p.batched, token);
  const EstimateRow sin = prim::ExactTokenRow(in.sin, p.batched, token);
  const EstimateRow cos = prim::ExactTokenRow(in.cos, p.batched, token);

  const int64_t cache_row = p.slots[static_cast<size_t>(token)];
  out[kKvCache].rows[slot] = out[kKrCache].rows[slot] = cache_row;
  if (cache_row >= 0) {
    const EstimateRow kv = Projected(p, x, in.w_dkv_kr, p.latent + p.rope, in.bias_dkv_kr);
    const EstimateRow gamma = prim::ExactRow(in.gamma_ckv);
    Put(prim::RmsNormEstimate(Part(kv, 0, p.latent), gamma, p.epsilon_ckv), 0, slot,
        &out[kKvCache]);
    EstimateRow kr = Part(kv, p.latent, p.rope);
    if (!in.gamma_kr.absent()) {
      kr = prim::RmsNormEstimate(kr, prim::ExactRow(in.gamma_kr), p.epsilon_kr);
      prim::RoundTo(p.dtype, &kr);
    }
    Put(prim::RopeEstimate(kr, sin, cos, p.interleaved), 0, slot, &out[kKrCache]);
  }
  if (in.query.absent() && in.query_rope.absent() && in.query_norm.absent()) return;

  EstimateRow source;
  if (in.query_source.absent()) {
    const EstimateRow cq = Projected(p, x, in.w_dq, p.query_rank, in.bias_dq);
    source = prim::RmsNormEstimate(cq, prim::ExactRow(in.gamma_cq), p.epsilon_cq);
    if (!in.query_norm.absent()) Put(source, 0, slot, &out[kQueryNorm]);
    prim::RoundTo(p.dtype, &source);
  } else {
    source = prim::ExactTokenRow(in.query_source, p.batched, token);
  }
  if (in.query.absent() && in.query_rope.absent()) return;

  const int64_t width = p.nope + p.rope;
  const prim::LinearWeight uq_qr = prim::WeightOf(in.w_uq_qr, p.format);
  prim::LinearWeight uk = prim::NdWeight(in.w_uk);  // of head 0, then of the next
  for (int64_t h = 0; h < p.heads; ++h) {
    EstimateRow q = prim::LinearEstimate(source, uq_qr, p.dtype, h * width, width);
    prim::RoundTo(p.dtype, &q);
    Put(prim::LinearEstimate(Part(q, 0, p.nope), uk, p.dtype, 0, p.latent), h * p.latent, slot,
        &out[kQuery]);
    uk.data = static_cast<const char*>(uk.data) + in.w_uk.strides[0] * base::ItemSize(p.dtype);
    Put(prim::RopeEstimate(Part(q, p.nope, p.rope), sin, cos, p.interleaved), h * p.rope, slot,
        &out[kQueryRope]);
  }
}

}  // namespace tamis::mla_prolog

// The specification: the formula of indexer_prolog.hpp, step by step in float64, rounded to the
// dtype where it says so.
#include "ops/indexer_prolog/problem.h"
#include "prim/estimate.h"

namespace tamis::indexer_prolog {

using prim::EstimateRow;
using prim::Part;
using prim::Put;

void Room::ReferenceRow(const Problem& p, int64_t token, size_t slot, base::Golden* golden) {
  enum { kCache, kQuery, kWeights };  // the contract's outputs, in order
  std::vector<base::GoldenOutput>& out = golden->outputs;
  const Params& in = p.params;
  const EstimateRow x = prim::ExactTokenRow(in.x, p.batched, token);
  const EstimateRow sin = prim::ExactTokenRow(in.sin, p.batched, token);
  const EstimateRow cos = prim::ExactTokenRow(in.cos, p.batched, token);
  const auto put_head = [&](const EstimateRow& head, int64_t at, base::GoldenOutput* output) {
    Put(prim::RopeEstimate(Part(head, 0, p.rope), sin, cos, in.rope_interleaved), at, slot, output);
    Put(Part(head, p.rope, p.dim - p.rope), at + p.rope, slot, output);
  };

  const int64_t cache_row = p.slots[static_cast<size_t>(token)];
  out[kCache].rows[slot] = cache_row;
  if (cache_row >= 0) {
    const EstimateRow unrounded = prim::LinearEstimate(x, p.k, p.dtype, 0, p.dim);
    EstimateRow key = prim::LayerNormEstimate(unrounded, prim::ExactRow(in.in_gamma_k),
                                              prim::ExactRow(in.in_beta_k), in.epsilon);
    prim::RoundTo(p.dtype, &key);
    put_head(key, 0, &out[kCache]);
  }
  if (!in.weights.absent())
    Put(prim::LinearEstimate(x, p.proj, p.dtype, 0, p.heads), 0, slot, &out[kWeights]);
  if (in.query.absent()) return;
  const EstimateRow norm = prim::ExactTokenRow(in.query_norm, p.batched, token);
  for (int64_t g = 0; g < p.heads; ++g) {
    EstimateRow head = prim::LinearEstimate(norm, p.qb, p.dtype, g * p.dim, p.dim);
    prim::RoundTo(p.dtype, &head);
    put_head(head, g * p.dim, &out[kQuery]);
  }
}

}  // namespace tamis::indexer_prolog

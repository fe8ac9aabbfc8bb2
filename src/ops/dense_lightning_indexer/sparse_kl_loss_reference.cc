// The specification of the loss over lists and its gradients, in float64.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "ops/dense_lightning_indexer/sparse_kl_loss_problem.h"
#include "prim/references/listed.h"

namespace tamis::sparse_lightning_indexer_grad_kl_loss {
namespace {

prim::IndexGradRow RowOf(const Problem& p, const Params& in, const prim::MainAttention& main,
                         const prim::TokenSequence& s, int64_t token) {
  prim::IndexGradRow row;
  if (s.padding) return row;
  const double scale = in.row_scale.absent()
                           ? 1
                           : base::LoadAsDouble(in.row_scale.data, in.row_scale.dtype,
                                                p.TokenOffset(in.row_scale, s, token));
  if (scale == 0) return row;
  row.positions = prim::ListedPositions(p, in.sparse_indices, s, token,
                                        p.End(s, token, p.causal, TensorView()));
  if (row.positions.empty()) return row;
  const std::vector<prim::Number> scores =
      ScoresOf(p, dense_lightning_indexer::ReferenceScores(p, in), s, token, row.positions).values;
  double max = scores[0].value;
  for (const prim::Number& score : scores) max = std::max(max, score.value);
  std::vector<prim::Number> mains;
  std::vector<prim::Number> exponentials;
  prim::NumberSum main_sum;
  prim::NumberSum sum;
  for (size_t j = 0; j < scores.size(); ++j) {
    mains.push_back(ProbabilitySum(p, main, s, token, row.positions[j]));
    exponentials.push_back(prim::ProbabilityOf(scores[j], max, 1));
    main_sum.Add(mains.back(), {1, 0});
    sum.Add(exponentials.back(), {1, 0});
  }
  const prim::Number all =
      in.sinks.absent() ? prim::Number{static_cast<double>(p.heads), 0} : main_sum.number();
  prim::NumberSum loss;
  for (size_t j = 0; j < scores.size(); ++j) {
    const prim::Number probability = Quotient(mains[j], all);
    const prim::Number q = Quotient(exponentials[j], sum.number());
    AddDivergence(probability, q, &loss);
    row.grads.push_back(ScaledDifference(scale, q, probability));
  }
  row.loss = ScaledLoss(scale, loss);
  return row;
}

}  // namespace

prim::IndexGradReference Room::ReferenceOf(const Problem& p, const Params& in,
                                           const std::vector<int64_t>& rows,
                                           const prim::ForIndices& for_indices) {
  const prim::MainAttention main = {in.query,       in.key,         in.query_rope, in.key_rope,
                                    in.softmax_max, in.softmax_sum, p.heads,       p.heads,
                                    p.dim,          p.rope_dim,     p.scale};
  prim::IndexGradCall call = {.problem = p,
                              .scores = dense_lightning_indexer::ReferenceScores(p, in),
                              .query_rows = p.query_rows,
                              .key_rows = p.key_rows,
                              .query_grad = 1,
                              .key_grad = 2,
                              .weights_grad = 3,
                              .loss = 0,
                              .row_loss = 4};
  call.row_of = [&p, &in, main](const prim::TokenSequence& s, int64_t token) {
    return RowOf(p, in, main, s, token);
  };
  return {std::move(call), rows, for_indices};
}

}  // namespace tamis::sparse_lightning_indexer_grad_kl_loss

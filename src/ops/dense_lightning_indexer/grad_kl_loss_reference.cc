// The specification of the loss and its gradients, in float64.
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "ops/dense_lightning_indexer/grad_kl_loss_problem.h"

namespace tamis::dense_lightning_indexer_grad_kl_loss {
namespace {

double NumberOf(const Problem& p, const TensorView& view, const prim::TokenSequence& s,
                int64_t token) {
  return base::LoadAsDouble(view.data, view.dtype, p.TokenOffset(view, s, token));
}

prim::IndexGradRow RowOf(const Problem& p, const Params& in, const prim::MainAttention& main,
                         const prim::TokenSequence& s, int64_t token) {
  prim::IndexGradRow row;
  const int64_t keys = p.End(s, token, p.causal, TensorView());
  const double scale = in.row_scale.absent() ? 1 : NumberOf(p, in.row_scale, s, token);
  if (keys == 0 || scale == 0) return row;
  row.positions.resize(static_cast<size_t>(keys));
  std::iota(row.positions.begin(), row.positions.end(), 0);
  const prim::TokenScores scores =
      ScoresOf(p, dense_lightning_indexer::ReferenceScores(p, in), s, token, row.positions);
  prim::NumberSum loss;
  for (size_t j = 0; j < row.positions.size(); ++j) {
    const prim::Number sum = ProbabilitySum(p, main, s, token, row.positions[j]);
    const prim::Number probability = Quotient(sum, {static_cast<double>(p.heads()), 0});
    const prim::Number q =
        prim::ProbabilityOf(scores.values[j], NumberOf(p, in.softmax_max_index, s, token),
                            NumberOf(p, in.softmax_sum_index, s, token));
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
                                    in.softmax_max, in.softmax_sum, p.heads(),     p.group,
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

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

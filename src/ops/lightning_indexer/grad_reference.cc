// The specification of the gradient, in float64: dI is what the slots of a position say.
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "ops/lightning_indexer/grad_problem.h"
#include "prim/references/listed.h"

namespace tamis::lightning_indexer_grad {
namespace {

prim::IndexGradRow RowOf(const lightning_indexer::Problem& p, const Params& in,
                         const prim::TokenSequence& s, int64_t token) {
  prim::IndexGradRow row;
  const TensorView& grads = in.sparse_values_grad;
  prim::ForListed(p, in.sparse_indices, s, token, p.End(s, token, p.causal, in.key_limits), 1,
                  [&](int64_t slot, int64_t position) {
                    row.positions.push_back(position);
                    row.grads.push_back({base::LoadAsDouble(grads.data, grads.dtype,
                                                            p.TokenOffset(grads, s, token) + slot),
                                         0});
                  });
  return row;
}

}  // namespace

prim::IndexGradReference Room::ReferenceOf(const Problem& problem, const Params& in,
                                           const std::vector<int64_t>& rows,
                                           const prim::ForIndices& for_indices) {
  const lightning_indexer::Problem& p = problem.indexer;
  prim::IndexGradCall call = {.problem = p,
                              .scores = {in.query, in.key, in.weights, p.heads, p.dim},
                              .query_rows = problem.query_rows,
                              .key_rows = problem.key_rows};
  call.row_of = [&p, &in](const prim::TokenSequence& s, int64_t token) {
    return RowOf(p, in, s, token);
  };
  return {std::move(call), rows, for_indices};
}

}  // namespace tamis::lightning_indexer_grad

#include <algorithm>
#include <string>

#include "ops/lightning_indexer/cpu/grad_kernel_units.h"
#include "ops/lightning_indexer/grad_problem.h"
#include "prim/attention/tokens.h"
#include "prim/attention_grad/tokens.h"
#include "prim/call/cost.h"
#include "prim/call/room.h"
#include "prim/list_grad/index_call.h"

namespace tamis::lightning_indexer_grad {
namespace {

// The forward that this is the gradient of, as far as sequences and sizes go.
lightning_indexer::Params ForwardOf(const Params& in) {
  using KeyLayout = lightning_indexer::KeyLayout;
  lightning_indexer::Params forward;
  forward.query = in.query;
  forward.key = in.key;
  forward.weights = in.weights;
  forward.actual_seq_lengths_query = in.actual_seq_lengths_query;
  forward.actual_seq_lengths_key = in.actual_seq_lengths_key;
  forward.key_starts = in.key_starts;
  forward.key_limits = in.key_limits;
  forward.actual_seq_lengths_tokens = in.actual_seq_lengths_tokens;
  forward.layout_query = in.layout_query;
  forward.layout_key = in.layout_key == QueryLayout::kTnd ? KeyLayout::kTnd : KeyLayout::kBsnd;
  forward.sparse_mode = in.sparse_mode;
  forward.compress_ratio = in.compress_ratio;
  return forward;
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  lightning_indexer::Problem& p = problem->indexer;
  TAMIS_RETURN_IF_ERROR(lightning_indexer::Room::Normalise(ForwardOf(params), dims, &p));
  const base::Dims& d = *dims;
  problem->slots = d["K"];
  problem->query_rows = p.padded_queries ? prim::Times(d["B"], d["S1"]) : d["T1"];
  const int64_t all = prim::attention_grad::RowsOf(p, d);
  problem->key_rows = all - problem->query_rows;
  dims->Set("Rows", all);
  return Status::Ok();
}

void Room::Bind(const Problem& problem, const Params& in, KernelArgs* args) {
  const lightning_indexer::Problem& p = problem.indexer;
  BindIndex(p,
            {in.query, in.key, in.weights, in.sparse_indices, in.key_limits, in.query_grad,
             in.key_grad, in.weights_grad},
            &args->index);
  args->values_grad = prim::attention::HeadsOf(p, in.sparse_values_grad);
}

void Room::OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                 prim::CpuWork* work) {
  static constexpr prim::KernelTable kQueries = {prim::kLightningIndexerGradQueriesUnits};
  const lightning_indexer::Problem& p = problem.indexer;
  KernelArgs& a = problem.args;
  a = {};
  BeginIndex(p, p.causal, {p.heads, p.dim, problem.slots}, in.query, in.key, &problem, &a.index);
  a.index.weights_element = prim::ElementOf(in.weights.dtype);
  a.values_grad_element = prim::ElementOf(in.sparse_values_grad.dtype);
  Bind(problem, in, &a);
  MakeWork(target, kQueries.at(target.level, a.index.list.attend.element), &problem, &a.index.list,
           work);
  work->scratch_bytes = std::max(work->scratch_bytes, prim::Times(Scratch(a).total, sizeof(float)));
}

std::string Room::Blocking(const Problem& problem) {
  return prim::list_grad::Blocking(problem.args.index.list);
}

// Products: S, and one for each gradient of vectors.
Cost Room::CountCost(const Problem& problem, const Params& in) {
  const lightning_indexer::Problem& p = problem.indexer;
  const double products =
      1.0 + (in.query_grad.absent() ? 0.0 : 1.0) + (in.key_grad.absent() ? 0.0 : 1.0);
  Cost cost;
  cost.flops = 2.0 * products * static_cast<double>(p.heads) * static_cast<double>(p.dim) *
               prim::list_grad::CountListed(p, p.causal, in.sparse_indices, in.key_limits);
  cost.read_bytes = prim::CountBytes({&in.query, &in.key, &in.sparse_values_grad,
                                      &in.sparse_indices, &in.weights, &in.key_limits});
  cost.write_bytes = prim::CountBytes({&in.query_grad, &in.key_grad, &in.weights_grad});
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::lightning_indexer_grad

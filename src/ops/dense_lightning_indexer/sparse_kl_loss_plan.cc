#include <algorithm>
#include <string>

#include "base/dtype.h"
#include "base/errors.h"
#include "ops/dense_lightning_indexer/cpu/sparse_kl_loss_units.h"
#include "ops/dense_lightning_indexer/sparse_kl_loss_problem.h"
#include "prim/attention_grad/tokens.h"
#include "prim/call/cost.h"
#include "prim/call/room.h"
#include "prim/list_grad/index_call.h"

namespace tamis::sparse_lightning_indexer_grad_kl_loss {

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  TAMIS_RETURN_IF_ERROR(dense_lightning_indexer::CheckRopes(params));
  TAMIS_RETURN_IF_ERROR(TakeCommon(params, "query", dims, problem));
  problem->heads = d["N"];
  problem->dim = d["D"];
  problem->rope_dim = params.query_rope.absent() ? 0 : d["Dr"];
  problem->top_k = d["K"];
  problem->scale = params.scale_value;
  problem->query_rows = problem->padded_queries ? prim::Times(d["B"], d["S1"]) : d["T1"];
  const int64_t all = prim::attention_grad::RowsOf(*problem, d);
  problem->key_rows = all - problem->query_rows;
  dims->Set("Rows", prim::Plus(all, 1));
  return Status::Ok();
}

void Room::Bind(const Problem& p, const Params& in, KernelArgs* args) {
  using prim::attention::HeadsOf;
  using prim::attention::RowsOf;
  KernelArgs& a = *args;
  prim::list_grad::IndexArgs& index = a.index;
  BindIndex(p,
            {in.query_index, in.key_index, in.weights, in.sparse_indices, TensorView(),
             in.query_index_grad, in.key_index_grad, in.weights_grad},
            &index);
  a.query = HeadsOf(p, in.query);
  a.query_rope = HeadsOf(p, in.query_rope);
  a.key = RowsOf(p, in.key);
  a.key_rope = RowsOf(p, in.key_rope);
  a.max = prim::Data<const float>(in.softmax_max);
  a.max_at = p.TokensOf(in.softmax_max);
  a.sum = prim::Data<const float>(in.softmax_sum);
  a.sum_at = p.TokensOf(in.softmax_sum);
  a.row_scale = prim::Data<const float>(in.row_scale);
  a.row_scale_at = p.TokensOf(in.row_scale);
  a.row_loss = prim::Data<float>(in.row_loss);
  a.row_loss_at = p.TokensOf(in.row_loss);
  a.loss = prim::Data<float>(in.loss);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kQueries = {prim::kSparseIndexerLossQueriesUnits};
  KernelArgs& a = p.args;
  a = {};
  BeginIndex(p, p.causal, {p.index_heads, p.index_dim, p.top_k}, in.query_index, in.key_index, &p,
             &a.index);
  a.index.weights_element = prim::ElementOf(in.weights.dtype);
  Bind(p, in, &a);
  a.heads = p.heads;
  a.dim = p.dim;
  a.rope_dim = p.rope_dim;
  a.scale = static_cast<float>(p.scale);
  a.normalise = !in.sinks.absent();
  a.rows = p.query_rows;
  MakeWork(target, kQueries.at(target.level, a.index.list.attend.element), &p, &a.index.list, work);
  work->phases.push_back({.items = 1, .kernel = &AddLosses});
  work->scratch_bytes = std::max(work->scratch_bytes, prim::Times(Scratch(a).total, sizeof(float)));
  work->shared_bytes = prim::Times(Shared(a).total, sizeof(float));
}

std::string Room::Blocking(const Problem& p) {
  return prim::list_grad::Blocking(p.args.index.list);
}

// Products: of the main attention one; of the index S, and for each gradient one more.
Cost Room::CountCost(const Problem& p, const Params& in) {
  const double products =
      1.0 + (in.query_index_grad.absent() ? 0.0 : 1.0) + (in.key_index_grad.absent() ? 0.0 : 1.0);
  Cost cost;
  cost.flops = 2.0 * prim::list_grad::CountListed(p, p.causal, in.sparse_indices, TensorView()) *
               (static_cast<double>(p.heads) * static_cast<double>(p.dim + p.rope_dim) +
                products * static_cast<double>(p.index_heads) * static_cast<double>(p.index_dim));
  cost.read_bytes = prim::CountBytes(
      {&in.query, &in.key, &in.query_index, &in.key_index, &in.weights, &in.sparse_indices,
       &in.softmax_max, &in.softmax_sum, &in.query_rope, &in.key_rope, &in.row_scale});
  cost.write_bytes = prim::CountBytes(
      {&in.loss, &in.query_index_grad, &in.key_index_grad, &in.weights_grad, &in.row_loss});
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::sparse_lightning_indexer_grad_kl_loss

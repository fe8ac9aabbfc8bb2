#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/dense_lightning_indexer/cpu/grad_kl_loss_units.h"
#include "ops/dense_lightning_indexer/grad_kl_loss_problem.h"
#include "prim/attention/tokens.h"
#include "prim/attention_grad/call.h"
#include "prim/attention_grad/tokens.h"
#include "prim/call/cost.h"
#include "prim/call/room.h"

namespace tamis::dense_lightning_indexer_grad_kl_loss {
namespace {

using dense_lightning_indexer::kGroupTokens;
using dense_lightning_indexer::kTileKeys;

// What groups leave between the phases, and how many there are in any case, for the workers.
constexpr int64_t kMostSlotFloats = int64_t{1} << 24;
constexpr int64_t kLeastGroups = 4;

TokenNumbers NumbersOf(const Problem& p, const TensorView& view) {
  if (view.absent()) return {};
  return {prim::Data<const float>(view), p.TokensOf(view)};
}

void CutWork(const prim::CpuTarget& target, bool packed, const TensorView& key, Problem* problem,
             prim::CpuWork* work) {
  static constexpr prim::KernelTable kQueries = {prim::kDenseIndexerLossQueriesUnits};
  static constexpr prim::KernelTable kKeys = {prim::kDenseIndexerLossKeysUnits};
  Problem& p = *problem;
  KernelArgs& a = p.args;
  CutGroups(p.call.key_sequences, kGroupTokens, &p.chunks);
  const auto groups = static_cast<int64_t>(p.chunks.groups.size());
  const int64_t slot = std::max<int64_t>(SlotFloats(a), 1);
  a.groups_per_chunk =
      std::min(std::max(kLeastGroups, kMostSlotFloats / slot), std::max<int64_t>(groups, 1));
  const auto items_of = [](int64_t keys) { return base::CeilDiv(keys, kTileKeys); };
  AddChunks(
      {.sequences = p.call.key_sequences,
       .packed_keys = packed,
       .key_batches = packed ? 1 : key.shape[0],
       .rows_of_batch = key.shape[packed ? 0 : 1],
       .groups_per_chunk = a.groups_per_chunk,
       .items_of = items_of,
       .of_queries = kQueries.at(target.level, a.scores.element),
       .of_keys = a.key_grad.data != nullptr ? kKeys.at(target.level, a.scores.element) : nullptr},
      &p.chunks, work);
  work->phases.push_back({.items = 1, .kernel = &AddLosses});
  a.sum_rows = a.key_grad.data != nullptr ? p.chunks.sum_rows : 0;
  a.groups = p.chunks.groups.data();
  a.parts = p.chunks.parts.data();
  a.part_count = static_cast<int64_t>(p.chunks.parts.size());
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  TAMIS_RETURN_IF_ERROR(prim::CheckHeads(d["N"], d["N2"], problem));
  TAMIS_RETURN_IF_ERROR(dense_lightning_indexer::CheckRopes(params));
  TAMIS_RETURN_IF_ERROR(TakeCommon(params, "query", dims, problem));
  problem->dim = d["D"];
  problem->rope_dim = params.query_rope.absent() ? 0 : d["Dr"];
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
  BindScores(p, in, &a.scores);
  a.query = HeadsOf(p, in.query);
  a.query_rope = HeadsOf(p, in.query_rope);
  a.key = RowsOf(p, in.key);
  a.key_rope = RowsOf(p, in.key_rope);
  a.max = NumbersOf(p, in.softmax_max);
  a.sum = NumbersOf(p, in.softmax_sum);
  a.max_index = NumbersOf(p, in.softmax_max_index);
  a.sum_index = NumbersOf(p, in.softmax_sum_index);
  a.row_scale = NumbersOf(p, in.row_scale);
  a.query_grad = HeadsOf(p, in.query_index_grad);
  a.key_grad = prim::attention_grad::GradRowsOf(RowsOf(p, in.key_index_grad));
  a.weights_grad = HeadsOf(p, in.weights_grad);
  a.row_loss = prim::Data<float>(in.row_loss);
  a.row_loss_at = p.TokensOf(in.row_loss);
  a.loss = prim::Data<float>(in.loss);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  prim::attention::Begin(&p.call);
  AddSequences(p, p.causal, &p.call);
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  FillScores(p, in, &a.scores);
  a.kv_heads = p.kv_heads;
  a.group = p.group;
  a.dim = p.dim;
  a.rope_dim = p.rope_dim;
  a.scale = static_cast<float>(p.scale);
  a.sequences = p.call.key_sequences.data();
  a.max_keys = p.call.args.max_keys;
  a.rows = p.query_rows;
  CutWork(target, p.key_layout == prim::TokenLayout::kTnd, in.key_index, &p, work);
  work->scratch_bytes = prim::Times(Scratch(a).total, sizeof(float));
  work->shared_bytes = prim::Times(Shared(a).total, sizeof(float));
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(kGroupTokens) + " tokens per item, tiles of " + std::to_string(kTileKeys) +
         " keys, chunks of " + std::to_string(p.args.groups_per_chunk) + " of " +
         std::to_string(p.chunks.groups.size()) + " groups of tokens";
}

// Products: of the main attention one; of the index S, and for each gradient one more, S again for
// that of keys.
Cost Room::CountCost(const Problem& p, const Params& in) {
  const double products =
      (in.query_index_grad.absent() ? 1.0 : 2.0) + (in.key_index_grad.absent() ? 0.0 : 2.0);
  Cost cost;
  cost.flops = 2.0 * CountPairs(p) *
               (static_cast<double>(p.heads()) * static_cast<double>(p.dim + p.rope_dim) +
                products * static_cast<double>(p.index_heads) * static_cast<double>(p.index_dim));
  cost.read_bytes =
      prim::CountBytes({&in.query, &in.key, &in.query_index, &in.key_index, &in.weights,
                        &in.softmax_max, &in.softmax_sum, &in.softmax_max_index,
                        &in.softmax_sum_index, &in.query_rope, &in.key_rope, &in.row_scale});
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

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

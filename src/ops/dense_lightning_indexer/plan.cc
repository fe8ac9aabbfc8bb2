#include <string>

#include "base/dtype.h"
#include "ops/dense_lightning_indexer/cpu/softmax_lse_units.h"
#include "ops/dense_lightning_indexer/problem.h"
#include "prim/attention/tokens.h"
#include "prim/call/cost.h"
#include "prim/call/room.h"

namespace tamis::dense_lightning_indexer {

double CountPairs(const Sizes& p) {
  double pairs = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    for (int64_t i = 0; i < s.rows; ++i)
      pairs += static_cast<double>(p.End(s, i, p.causal, TensorView()));
  }
  return pairs;
}

}  // namespace tamis::dense_lightning_indexer

namespace tamis::dense_lightning_indexer_softmax_lse {

using dense_lightning_indexer::kGroupTokens;

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  return TakeCommon(params, "query_index", dims, problem);
}

void Room::Bind(const Problem& p, const Params& in, KernelArgs* args) {
  BindScores(p, in, &args->scores);
  args->max = prim::Data<float>(in.softmax_max_index);
  args->max_at = p.TokensOf(in.softmax_max_index);
  args->sum = prim::Data<float>(in.softmax_sum_index);
  args->sum_at = p.TokensOf(in.softmax_sum_index);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernel = {prim::kDenseIndexerSoftmaxLseUnits};
  prim::attention::Begin(&p.call);
  AddSequences(p, p.causal, &p.call);
  CutGroups(p.call.key_sequences, kGroupTokens, &p.chunks);
  p.args = {};
  Bind(p, in, &p.args);
  FillScores(p, in, &p.args.scores);
  p.args.sequences = p.call.key_sequences.data();
  p.args.groups = p.chunks.groups.data();
  work->phases = {{static_cast<int64_t>(p.chunks.groups.size()),
                   kKernel.at(target.level, p.args.scores.element)}};
  work->scratch_bytes = prim::Times(Scratch(p.args).total, sizeof(float));
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(kGroupTokens) + " tokens x " + std::to_string(p.index_heads) +
         " heads per item, " + std::to_string(dense_lightning_indexer::kTileKeys) +
         " keys at a time";
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  Cost cost;
  cost.flops =
      2.0 * CountPairs(p) * static_cast<double>(p.index_heads) * static_cast<double>(p.index_dim);
  cost.read_bytes = prim::CountBytes({&in.query_index, &in.key_index, &in.weights});
  cost.write_bytes = prim::CountBytes({&in.softmax_max_index, &in.softmax_sum_index});
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::dense_lightning_indexer_softmax_lse

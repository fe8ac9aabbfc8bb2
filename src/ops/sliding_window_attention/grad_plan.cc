#include <string>

#include "base/dtype.h"
#include "ops/sliding_window_attention/grad_problem.h"
#include "prim/attention_grad/tokens.h"
#include "prim/call/room.h"

namespace tamis::sliding_window_attention_grad {

using prim::attention_grad::TensorsOf;

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  TAMIS_RETURN_IF_ERROR(TakeCommon(params, TensorView(), dims, problem));
  dims->Set("Rows", prim::attention_grad::RowsOf(*problem, *dims));
  return Status::Ok();
}

void Room::Bind(const Problem& p, const Params& in, prim::attention_grad::Args* args) {
  BindTensors(p, TensorsOf(in), args);
  BindLimits(p, in.key_limits, &args->attend.sources[0]);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  prim::attention::Begin(&p.forward);
  prim::attention::Args& forward = p.forward.args;
  AddSequences(p, true, &p.forward);
  forward.sources[0].window = p.window;
  forward.kv_heads = p.kv_heads;
  forward.group = p.group;
  forward.dim = p.qk_dim;
  forward.value_dim = p.v_dim;
  forward.scale = static_cast<float>(p.scale);
  forward.element = prim::ElementOf(in.query.dtype);
  BeginGrad(p, TensorsOf(in), &p);
  BindLimits(p, in.key_limits, &p.args.attend.sources[0]);
  MakeWork(target, &p, work);
}

prim::AttentionGradReference Room::ReferenceOf(const Problem& p, const Params& in,
                                               const std::vector<int64_t>& rows,
                                               const prim::ForIndices& for_indices) {
  prim::GradCall call = ReferenceCall(
      p, TensorsOf(in), [&](const prim::TokenSequence& s, int64_t token, int64_t /*kv_head*/) {
        const prim::Span window = WindowOf(p, s, token, in.key_limits);
        std::vector<int64_t> positions;
        for (int64_t i = 0; i < window.length; ++i) positions.push_back(window.begin + i);
        return positions;
      });
  call.kv_heads = p.kv_heads;
  call.group = p.group;
  call.scale = p.scale;
  return {std::move(call), rows, for_indices};
}

std::string Room::Blocking(const Problem& p) { return prim::attention_grad::Blocking(p); }

Cost Room::CountCost(const Problem& p, const Params& in) {
  return prim::attention_grad::CostOf(p.padded_queries, TensorsOf(in), CountPairs(p));
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::sliding_window_attention_grad

#include <string>
#include <utility>

#include "ops/nsa_selected_attention/grad_problem.h"
#include "prim/attention_grad/tokens.h"
#include "prim/call/room.h"

namespace tamis::nsa_selected_attention_grad {

using prim::attention_grad::TensorsOf;

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  TAMIS_RETURN_IF_ERROR(
      selected_attention::TakePacked(selected_attention::PackedCallOf(params), dims, problem));
  dims->Set("Rows", prim::Plus((*dims)["T"], (*dims)["Tk"]));
  return Status::Ok();
}

void Room::Bind(const Problem& p, const Params& in, prim::attention_grad::Args* args) {
  BindTensors(p, TensorsOf(in), args);
  BindList(p, in.topk_indices, &args->attend.sources[0]);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  prim::attention::Begin(&p.forward);
  FillSource(p, in.query, &p.forward);
  BeginGrad(p, TensorsOf(in), &p);
  BindList(p, in.topk_indices, &p.args.attend.sources[0]);
  MakeWork(target, &p, work);
}

prim::AttentionGradReference Room::ReferenceOf(const Problem& p, const Params& in,
                                               const std::vector<int64_t>& rows,
                                               const prim::ForIndices& for_indices) {
  prim::GradCall call = ReferenceCall(
      p, TensorsOf(in), [&](const prim::TokenSequence& s, int64_t token, int64_t kv_head) {
        return selected_attention::Selected(p, in.topk_indices, s, token, kv_head);
      });
  call.kv_heads = p.kv_heads;
  call.group = p.group;
  call.scale = p.scale;
  return {std::move(call), rows, for_indices};
}

std::string Room::Blocking(const Problem& p) { return prim::attention_grad::Blocking(p); }

Cost Room::CountCost(const Problem& p, const Params& in) {
  const double pairs = CountPairs(p, in.topk_indices) / static_cast<double>(p.kv_heads);
  return prim::attention_grad::CostOf(false, TensorsOf(in), pairs);
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_selected_attention_grad

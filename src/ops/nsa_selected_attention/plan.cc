#include "ops/nsa_selected_attention/problem.h"
#include "prim/call/room.h"

namespace tamis::nsa_selected_attention {
namespace {

selected_attention::Tensors TensorsOf(const Params& in) {
  return {in.query,         in.key,         in.value,      in.topk_indices,
          in.attention_out, in.softmax_max, in.softmax_sum};
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  TAMIS_RETURN_IF_ERROR(
      selected_attention::TakePacked(selected_attention::PackedCallOf(params), dims, problem));
  problem->storage = params.accuracy != Accuracy::kFp32 && params.query.dtype != DType::kFloat32;
  return Status::Ok();
}

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  ReferenceRowOf(p, TensorsOf(in), row, slot, golden);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  MakeWork(p, TensorsOf(in), target, work);
}

void Room::Bind(const Problem& p, const Params& in, prim::attention::Args* args) {
  BindTensors(p, TensorsOf(in), args);
}

Cost Room::CountCost(const Problem& p, const Params& in) { return CostOf(p, TensorsOf(in)); }

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_selected_attention

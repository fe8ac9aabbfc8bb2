#include "ops/nsa_compress/problem.h"
#include "prim/call/room.h"

namespace tamis::nsa_compress {

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  std::vector<int64_t>& ends = dims->NewEnds("Tc");
  TAMIS_RETURN_IF_ERROR(TakePacked(params.compress_block_size, params.compress_stride,
                                   params.act_seq_len, params.act_seq_len_type, *dims, problem,
                                   &ends));
  dims->Set("B", params.act_seq_len.size());
  dims->Set("Tc", problem->windows);
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  args->input = in.input.data;
  args->input_token_stride = in.input.strides[0];
  args->input_head_stride = in.input.strides[1];
  args->weight = in.weight.data;
  args->weight_row_stride = in.weight.strides[0];
  args->output = in.output.data;
  args->output_row_stride = in.output.strides[0];
  args->output_head_stride = in.output.strides[1];
}

void Room::OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                 prim::CpuWork* work) {
  problem.args = {};  // packed, and so is the output
  Bind(problem, in, &problem.args);
  MakeWork(problem, in.input.dtype, MostWindowsOfAnItem(problem, in.input.dtype), target, work);
}

Cost Room::CountCost(const Problem& problem, const Params& in) {
  return CostOf(problem, in.input.dtype);
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_compress

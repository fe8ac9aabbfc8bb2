// Plans that a caller holds, run on tensors by position: tamis.torch.plan.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

namespace tamis::torch_ops {

inline constexpr const char* kRunPlanName = "run_plan";
inline constexpr const char* kRunPlanSchema =
    "run_plan(int plan, Tensor[] inputs, Tensor(a!)[] written) -> ()";

/// The kernel of `run_plan`, for CPU tensors. Takes ownership of the arguments on the stack. Throws
/// where no such plan lives, or the tensors are not what it was made for; nothing was written then.
void RunPlan(StableIValue* stack);

}  // namespace tamis::torch_ops

// One call of an operator: from PyTorch's boxed arguments to its boxed results.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <cstdint>

#include "operator.h"

namespace tamis::torch_ops {

/// The kernel for CPU tensors. `stack` holds the arguments of the operator's schema, whose
/// ownership it takes, and afterwards its results. Runs on PyTorch's threads, as many as
/// `torch.set_num_threads` allows. Throws std::exception with the library's line.
void Call(const Operator& op, StableIValue* stack);

/// The kernel of the overload `out`, whose outputs are its last arguments. It has no results.
void CallOut(const Operator& op, StableIValue* stack);

}  // namespace tamis::torch_ops

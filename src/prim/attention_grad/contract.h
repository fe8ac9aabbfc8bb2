// What the contracts of gradients of attention say in the same words.
#pragma once

#include <string>

#include "base/contract.h"

namespace tamis::prim::attention_grad {

/// The gradient of the input `of`, by the switch return_<of>_grad.
base::TensorSpec Gradient(const std::string& of);
/// Of one form, whose first dimension counts rows.
base::TensorSpec Gradient(const std::string& of, const std::string& shape);

}  // namespace tamis::prim::attention_grad

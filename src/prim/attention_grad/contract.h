// What the contracts of gradients of attention say in the same words.
#pragma once

#include <string>
#include <vector>

#include "base/contract.h"

namespace tamis::prim::attention_grad {

/// The gradient of the input `of`, by the switch return_<of>_grad. `layout`: the attribute that
/// chooses the form, where that is not the operator's.
base::TensorSpec Gradient(const std::string& of, std::vector<base::ShapeForm> forms,
                          const std::string& layout = {});
/// Of one form, whose first dimension counts rows.
base::TensorSpec Gradient(const std::string& of, const std::string& shape);

}  // namespace tamis::prim::attention_grad

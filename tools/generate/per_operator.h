// PerOperator: one text of all operators.
#pragma once

#include <string>
#include <string_view>

#include "registry/join.h"
#include "registry/registry.h"

namespace tamis::generate {

/// What `function` makes of each contract.
template <class Function>
std::string PerOperator(std::string_view separator, Function&& function) {
  return registry::Join(registry::Operators(), separator,
                        [&](const base::Operator& op) { return function(*op.contract); });
}

}  // namespace tamis::generate

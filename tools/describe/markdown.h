// The tables of an operator's page.
#pragma once

#include <string>

#include "base/operator.h"

namespace tamis::describe {

/// Tensors, attributes, limits, what the device asks, examples; ends with a newline.
std::string DescribeMarkdown(const base::Operator& op);

}  // namespace tamis::describe

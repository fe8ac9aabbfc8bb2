// The operators as a terminal shows them.
#pragma once

#include <string>

#include "base/operator.h"

namespace tamis::describe {

/// All of one operator; ends with a newline.
std::string DescribeText(const base::Operator& op);
/// One line per operator: name and summary.
std::string DescribeAllText();

}  // namespace tamis::describe

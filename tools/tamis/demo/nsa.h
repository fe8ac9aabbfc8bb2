// The first half of the demo: Native Sparse Attention.
#pragma once

#include "tamis/tamis.hpp"
#include "tools/tamis/demo/options.h"

namespace tamis::tools::demo {

/// Gives the exit code.
Result<int> RunNsa(const Options& options, const Context& context);

}  // namespace tamis::tools::demo

// The second half of the demo: a layer of DeepSeek sparse attention.
#pragma once

#include "tamis/tamis.hpp"
#include "tools/tamis/demo/options.h"

namespace tamis::tools::demo::dsa {

/// Gives the exit code.
Result<int> Run(const Options& options, const Context& context);

}  // namespace tamis::tools::demo::dsa

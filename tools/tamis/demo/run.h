// The demo as a whole. docs/demo.md explains it.
#pragma once

#include "tamis/status.hpp"
#include "tools/tamis/demo/options.h"

namespace tamis::tools::demo {

/// Prints to stdout. Gives the exit code: kComparisonFailed where the reference disagrees, where
/// calls that must agree bit for bit do not, or where fewer than 80% of the text's phrases are
/// found.
Result<int> Run(const Options& options);

}  // namespace tamis::tools::demo

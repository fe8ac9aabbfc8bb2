// The demo as a whole. docs/demo.md explains it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tamis/status.hpp"
#include "tools/tamis/options.h"

namespace tamis::tools::demo {

struct Options {
  std::string text = {};               ///< A file; empty: the licences that Debian installs.
  std::vector<std::string> asks = {};  ///< Questions of the user.
  bool quick = false;
  std::optional<int64_t> tokens = {};  ///< Of the text to keep.
  ContextOptions context = {};
};

/// Prints to stdout. Gives the exit code: kComparisonFailed where the reference disagrees, a batch
/// differs from its questions asked alone, or fewer than 80% of the text's phrases are found.
Result<int> Run(const Options& options);

}  // namespace tamis::tools::demo

// What the user may choose.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/tamis/options.h"

namespace tamis::tools::demo {

struct Options {
  std::string text = {};               ///< A file; empty: what corpus.h says.
  std::vector<std::string> asks = {};  ///< Questions of the user.
  bool quick = false;
  std::optional<int64_t> tokens = {};  ///< Of the text to keep.
  ContextOptions context = {};
};

}  // namespace tamis::tools::demo

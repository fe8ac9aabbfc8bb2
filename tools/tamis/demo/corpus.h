// What the demo reads: one file of the user's, or the licences that Debian installs and then the
// headers of the C++ library.
#pragma once

#include <cstdint>
#include <string>

#include "tools/tamis/demo/text.h"

namespace tamis::tools::demo {

struct CorpusOptions {
  std::string file = {};  ///< Empty: the licences.
  bool headers = false;   ///< After the licences, as far as most_tokens allows.
  int64_t most_tokens = 0;
  int64_t least_tokens = 0;
};

struct Corpus {
  Text text;
  std::string name;  ///< "17 files of /usr/share/common-licenses"
};

Status ReadCorpus(const CorpusOptions& options, Corpus* corpus);

/// The folder in `root` whose name begins with the largest number, "" without any.
std::string NewestVersion(const std::string& root);

}  // namespace tamis::tools::demo

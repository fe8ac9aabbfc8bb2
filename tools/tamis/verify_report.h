// What tamis verify prints.
#pragma once

#include <string>
#include <vector>

#include "registry/compare.h"

namespace tamis::tools {

struct Judgement {
  const char* against = "";  ///< "expected" or "reference"
  registry::OutputComparison comparison;
};

/// For people: where outputs differ a line for each, what stands there, then a table of all.
std::string VerifyText(const std::vector<Judgement>& judged);

/// For programs: one JSON object on one line.
std::string VerifyJson(const std::string& op, const std::vector<Judgement>& judged,
                       const std::string& explanation);

}  // namespace tamis::tools

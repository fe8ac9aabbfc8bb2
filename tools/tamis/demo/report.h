// What the demo prints, at most 100 columns wide. Everything shown was measured or computed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/tamis/demo/answer.h"
#include "tools/tamis/demo/prefill.h"

namespace tamis::tools::demo {

/// One row of a table of calls.
struct CallRow {
  std::string call;
  std::string size;
  Measured measured;
};
std::string CallTable(const std::vector<CallRow>& rows);

/// "0.412 ms", "13.2 s"
std::string Duration(double seconds);

/// Times of one question asked alone.
struct Timing {
  double select = 0;
  double attend = 0;
  double dense = 0;
};

struct QuestionReport {
  const Question& question;
  const Answer& answer;
  const Agreement& agreement;
  Timing timing;
};
std::string Describe(const Text& text, const Features& features, const Memory& memory,
                     int64_t number, int64_t passages, const QuestionReport& report);

}  // namespace tamis::tools::demo

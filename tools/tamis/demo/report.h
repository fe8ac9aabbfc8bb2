// What the demo prints, at most 100 columns wide. Everything shown was measured or computed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tools/tamis/demo/answer.h"
#include "tools/tamis/demo/corpus.h"
#include "tools/tamis/demo/prefill.h"

namespace tamis::tools::demo {

/// As printf does; lines of the demo are short.
template <class... Args>
std::string Format(const char* format, Args... args) {
  char line[256];
  std::snprintf(line, sizeof(line), format, args...);
  return line;
}

inline constexpr int64_t kColumns = 100;

/// "GPL-2, tokens 120-183", counted from the start of the file.
std::string Place(const Text& text, int64_t first, int64_t last);

/// What was read: one or two lines that begin with "text".
std::string DescribeText(const Corpus& corpus, const Vocabulary& vocabulary);

/// The question's number and text on one line, and on the next where it comes from.
std::string Heading(const Text& text, int64_t number, const Question& question);

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

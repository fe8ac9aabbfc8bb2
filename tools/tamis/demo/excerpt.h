// A line of a passage, cut where it matches a question best.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/tamis/demo/questions.h"

namespace tamis::tools::demo {

/// The bytes on one line: runs of spaces become one, and what is not printable UTF-8 becomes '?'.
std::string OnOneLine(std::string_view bytes);

/// Columns of a line of UTF-8: characters, those from U+3000 on counted as two.
int64_t Columns(std::string_view line);

/// At most `columns` columns of tokens [first, last): the stretch whose words in common with the
/// question weigh most, the earliest of equals. Those words stand in brackets.
std::string Excerpt(const Text& text, const Vocabulary& vocabulary, const Question& question,
                    int64_t first, int64_t last, int64_t columns);

}  // namespace tamis::tools::demo

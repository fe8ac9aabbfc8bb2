// What is asked: phrases of the text itself, chosen by position alone, and phrases from outside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/tamis/demo/features.h"

namespace tamis::tools::demo {

struct Question {
  std::string text;
  std::vector<Token> tokens;  ///< Of `text`.
  bool users = false;         ///< By --ask.
  /// Where a phrase of the text comes from: tokens [first, last), or -1.
  int64_t first = -1;
  int64_t last = -1;

  bool from_text() const { return first >= 0; }
  /// The select block that holds most of the phrase, the earlier one of two equals.
  int64_t HomeBlock() const;
  bool Holds(std::string_view word) const;
};

Question MakeQuestion(std::string text);

/// Phrases of 8 words from evenly spaced places of the text. A phrase lies within one file, spans
/// at most 16 tokens, and its home block is none of those that are selected anyway (the first and
/// the last two); where a place does not do, the next token is tried. Fewer where the text is
/// short.
std::vector<Question> PhrasesOfText(const Text& text, int64_t blocks, int64_t count);

/// Refuses a question that has nothing in common with the text.
Status CheckKnown(const std::string& argument, const Question& question, const Features& features);

}  // namespace tamis::tools::demo

// What is asked: phrases of the text itself, chosen by position alone, and phrases from outside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/tamis/demo/options.h"
#include "tools/tamis/demo/vocabulary.h"

namespace tamis::tools::demo {

inline constexpr double kShareToFind = 0.8;  ///< Of the phrases taken from the text.

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
  /// Of one of its tokens.
  std::string_view TextOf(const Token& token) const;
};

Question MakeQuestion(std::string text);

/// Phrases of 8 words from evenly spaced places of the text. A phrase lies within one file, spans
/// at most 16 tokens, and its home block is none of those that are selected anyway (the first and
/// the last two); where a place does not do, the next token is tried. Fewer where the text is
/// short.
std::vector<Question> PhrasesOfText(const Text& text, int64_t blocks, int64_t count);

/// Refuses a question that has nothing in common with the text.
Status CheckKnown(const std::string& argument, const Question& question,
                  const Vocabulary& vocabulary);

/// The user's questions, `phrases` phrases of the text, and well-known ones where the text is the
/// demo's own.
Status ChooseQuestions(const Options& options, const Text& text, const Vocabulary& vocabulary,
                       int64_t blocks, int64_t phrases, std::vector<Question>* questions);

}  // namespace tamis::tools::demo

#include "tools/tamis/demo/questions.h"

#include <algorithm>

#include "base/errors.h"
#include "tools/tamis/demo/calls.h"

namespace tamis::tools::demo {
namespace {

constexpr int64_t kPhraseWords = 8;
constexpr int64_t kMostPhraseTokens = 16;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view TextOf(const Question& question, const Token& token) {
  return std::string_view(question.text)
      .substr(static_cast<size_t>(token.begin), static_cast<size_t>(token.end - token.begin));
}

// The end of the phrase that begins at `first`, or -1 where none can.
int64_t PhraseEnd(const Text& text, int64_t first) {
  if (!text.token(first).word) return -1;
  const int64_t limit = std::min(first + kMostPhraseTokens, text.SourceOf(first).last);
  int64_t words = 0;
  for (int64_t t = first; t < limit; ++t) {
    words += text.token(t).word ? 1 : 0;
    if (words == kPhraseWords) return t + 1;
  }
  return -1;
}

}  // namespace

int64_t Question::HomeBlock() const {
  const int64_t block = first / kBlock;
  const int64_t boundary = (block + 1) * kBlock;
  return last - boundary > boundary - first ? block + 1 : block;
}

bool Question::Holds(std::string_view word) const {
  return std::any_of(tokens.begin(), tokens.end(), [&](const Token& token) {
    const std::string_view own = TextOf(*this, token);
    return token.word && std::equal(own.begin(), own.end(), word.begin(), word.end(),
                                    [](char a, char b) { return Lower(a) == Lower(b); });
  });
}

Question MakeQuestion(std::string text) {
  Question question;
  question.tokens = Tokenise(text);
  question.text = std::move(text);
  return question;
}

std::vector<Question> PhrasesOfText(const Text& text, int64_t blocks, int64_t count) {
  std::vector<Question> questions;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = (2 * i + 1) * text.size() / (2 * count);
    const int64_t end = (2 * i + 3) * text.size() / (2 * count);
    for (int64_t first = begin; first < std::min(end, text.size()); ++first) {
      const int64_t last = PhraseEnd(text, first);
      if (last < 0) continue;
      Question question = MakeQuestion(std::string(text.Span(first, last)));
      question.first = first;
      question.last = last;
      const int64_t home = question.HomeBlock();
      if (home == 0 || home >= blocks - 2) continue;
      questions.push_back(std::move(question));
      break;
    }
  }
  return questions;
}

Status CheckKnown(const std::string& argument, const Question& question, const Features& features) {
  const bool known = std::any_of(
      question.tokens.begin(), question.tokens.end(),
      [&](const Token& token) { return token.word && features.Knows(TextOf(question, token)); });
  if (known) return Status::Ok();
  return base::Invalid(argument, "words that resemble some of the text",
                       question.tokens.empty() ? "none" : "\"" + question.text + "\"");
}

}  // namespace tamis::tools::demo

#include "tools/tamis/demo/questions.h"

#include <algorithm>

#include "base/errors.h"
#include "tools/tamis/demo/calls.h"

namespace tamis::tools::demo {
namespace {

// Not taken from the text at hand, and not counted: what somebody would look for in licences.
constexpr const char* kWellKnown[] = {
    "royalty-free patent license to make, use, sell and import the Work",
    "no warranty of merchantability or fitness for a particular purpose",
    "installation information to execute a modified version in the User Product",
};
constexpr int64_t kPhraseWords = 8;
constexpr int64_t kMostPhraseTokens = 16;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

size_t CountWellKnown(const Options& options) {
  return !options.text.empty() ? 0 : options.quick ? 1 : std::size(kWellKnown);
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

std::string_view Question::TextOf(const Token& token) const {
  return std::string_view(text).substr(static_cast<size_t>(token.begin),
                                       static_cast<size_t>(token.end - token.begin));
}

bool Question::Holds(std::string_view word) const {
  return std::any_of(tokens.begin(), tokens.end(), [&](const Token& token) {
    const std::string_view own = TextOf(token);
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

Status CheckKnown(const std::string& argument, const Question& question,
                  const Vocabulary& vocabulary) {
  const bool known = std::any_of(
      question.tokens.begin(), question.tokens.end(),
      [&](const Token& token) { return token.word && vocabulary.Knows(question.TextOf(token)); });
  if (known) return Status::Ok();
  return base::Invalid(argument, "words that resemble some of the text",
                       question.tokens.empty() ? "none" : "\"" + question.text + "\"");
}

Status ChooseQuestions(const Options& options, const Text& text, const Vocabulary& vocabulary,
                       int64_t blocks, int64_t phrases, std::vector<Question>* questions) {
  for (const std::string& ask : options.asks) {
    questions->push_back(MakeQuestion(ask));
    questions->back().users = true;
    TAMIS_RETURN_IF_ERROR(CheckKnown("--ask", questions->back(), vocabulary));
  }
  for (Question& phrase : PhrasesOfText(text, blocks, phrases))
    questions->push_back(std::move(phrase));
  for (size_t i = 0; i < CountWellKnown(options); ++i) {
    Question question = MakeQuestion(kWellKnown[i]);
    if (CheckKnown("", question, vocabulary).ok()) questions->push_back(std::move(question));
  }
  return Status::Ok();
}

}  // namespace tamis::tools::demo

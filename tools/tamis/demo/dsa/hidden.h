// Hidden states of tokens: hashed features, bf16.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tools/tamis/demo/dsa/layer.h"
#include "tools/tamis/demo/questions.h"
#include "tools/tamis/demo/vocabulary.h"

namespace tamis::tools::demo::dsa {

inline constexpr int64_t kGather = 8;  ///< Tokens whose features a content sums.

/// The content of a token sums the features of the token and the 7 before it, within one file; the
/// context of a question's tokens sums those of the whole question. Each part has mean square 1.
class HiddenStates {
 public:
  HiddenStates(const Text& text, const Vocabulary& vocabulary, int32_t threads);

  /// [count, kHidden] of tokens from `first`. Their context is left 0: they are stored, not asked.
  void OfText(int64_t first, int64_t count, uint16_t* out) const;

  /// [count, kHidden] of new tokens after a question's text: its last token, and then "?" (count
  /// 1 or 2). Both look for the whole question.
  void OfQuestion(const Question& question, int64_t count, uint16_t* out) const;

 private:
  struct Entry {
    int32_t channel = 0;
    float value = 0;
  };
  std::vector<Entry> Embed(std::string_view token) const;

  const Vocabulary& vocabulary_;
  int32_t threads_;
  std::vector<int64_t> source_first_;   // per token
  std::vector<int64_t> entries_first_;  // per word and one past the last
  std::vector<Entry> entries_;
};

}  // namespace tamis::tools::demo::dsa

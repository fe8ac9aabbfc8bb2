// The words of a text and how rare their n-grams are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/tamis/demo/text.h"

namespace tamis::tools::demo {

/// Hashes of the 3-, 4- and 5-grams of "<token>" in lower case, the whole token's first.
std::vector<uint64_t> Grams(std::string_view token);

struct WeightedGram {
  uint64_t gram = 0;
  float weight = 0;
};

/// Tokens that differ in case only are one word.
class Vocabulary {
 public:
  explicit Vocabulary(const Text& text);

  int64_t distinct_tokens() const { return static_cast<int64_t>(words_.size()); }
  /// In the order of their first appearance, in lower case.
  const std::string& word(int64_t index) const { return words_[static_cast<size_t>(index)]; }
  /// The word that a token of the text is.
  int64_t WordOf(int64_t token) const { return word_of_token_[static_cast<size_t>(token)]; }
  /// ln(1 + tokens / tokens with the gram); 0 for a gram that the text lacks.
  float Weight(uint64_t gram) const;
  /// Whether any of its n-grams occurs in the text.
  bool Knows(std::string_view token) const;
  /// The n-grams that the text has. The whole token counts as much as the others together.
  std::vector<WeightedGram> WeightedGrams(std::string_view token) const;

 private:
  double tokens_ = 0;
  std::unordered_map<uint64_t, int32_t> counts_;
  std::vector<std::string> words_;
  std::vector<int32_t> word_of_token_;
};

}  // namespace tamis::tools::demo

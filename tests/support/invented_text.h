#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tamis::test {

/// A text of invented words: a few frequent, most of them rare, punctuation and line breaks
/// between.
inline std::string InventedText(int64_t tokens, uint64_t seed) {
  const auto next = [&seed] {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 33;
  };
  std::vector<std::string> vocabulary;
  for (int i = 0; i < 600; ++i) {
    std::string word;
    for (uint64_t syllables = 1 + next() % 3 + (i >= 8 ? 1 : 0); syllables > 0; --syllables) {
      word += "bdfgklmnprst"[next() % 12];
      word += "aeiou"[next() % 5];
    }
    vocabulary.push_back(word);
  }
  std::string text;
  for (int64_t t = 0; t < tokens; ++t) {
    const uint64_t kind = next() % 10;
    if (kind == 0 && t > 0) text += t % 3 == 0 ? "." : ",";
    if (kind == 0 && t > 0) continue;
    text += t % 12 == 11 ? "\n" : " ";
    text += vocabulary[kind < 5 ? next() % 8 : next() % vocabulary.size()];
  }
  return text;
}

}  // namespace tamis::test

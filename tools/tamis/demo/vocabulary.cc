#include "tools/tamis/demo/vocabulary.h"

#include <algorithm>
#include <cmath>

#include "tools/tamis/demo/random.h"

namespace tamis::tools::demo {
namespace {

constexpr size_t kShortestGram = 3;
constexpr size_t kLongestGram = 5;

// FNV-1a, mixed; `kind` keeps a whole token apart from an equal n-gram.
uint64_t Hash(std::string_view bytes, uint64_t kind) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return Mix(hash ^ kind << 56);
}

std::string Lower(std::string_view token) {
  std::string lower(token);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace

std::vector<uint64_t> Grams(std::string_view token) {
  const std::string marked = "<" + Lower(token) + ">";
  std::vector<uint64_t> grams = {Hash(marked, 0)};
  for (size_t n = kShortestGram; n <= std::min(kLongestGram, marked.size()); ++n) {
    for (size_t at = 0; at + n <= marked.size(); ++at)
      grams.push_back(Hash(std::string_view(marked).substr(at, n), n));
  }
  return grams;
}

Vocabulary::Vocabulary(const Text& text) : tokens_(static_cast<double>(text.size())) {
  std::unordered_map<std::string, int32_t> index;
  std::vector<int32_t> occurrences;
  for (int64_t t = 0; t < text.size(); ++t) {
    const auto [word, added] =
        index.try_emplace(Lower(text.TokenText(t)), static_cast<int32_t>(words_.size()));
    if (added) {
      words_.push_back(word->first);
      occurrences.push_back(0);
    }
    ++occurrences[static_cast<size_t>(word->second)];
    word_of_token_.push_back(word->second);
  }
  for (size_t w = 0; w < words_.size(); ++w) {
    for (uint64_t gram : Grams(words_[w])) counts_[gram] += occurrences[w];
  }
}

float Vocabulary::Weight(uint64_t gram) const {
  const auto count = counts_.find(gram);
  if (count == counts_.end()) return 0;
  return static_cast<float>(std::log1p(tokens_ / count->second));
}

bool Vocabulary::Knows(std::string_view token) const {
  const std::vector<uint64_t> grams = Grams(token);
  return std::any_of(grams.begin(), grams.end(), [&](uint64_t g) { return counts_.count(g) > 0; });
}

std::vector<WeightedGram> Vocabulary::WeightedGrams(std::string_view token) const {
  const std::vector<uint64_t> grams = Grams(token);
  const float share = 1 / std::sqrt(static_cast<float>(grams.size() - 1));
  std::vector<WeightedGram> weighted;
  for (size_t g = 0; g < grams.size(); ++g) {
    const float weight = Weight(grams[g]) * (g == 0 ? 1 : share);
    if (weight != 0) weighted.push_back({grams[g], weight});
  }
  return weighted;
}

}  // namespace tamis::tools::demo

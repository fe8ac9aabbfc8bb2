#include "tools/tamis/demo/features.h"

#include <algorithm>
#include <cmath>

namespace tamis::tools::demo {
namespace {

constexpr size_t kShortestGram = 3;
constexpr size_t kLongestGram = 5;
constexpr int kPlaces = 4;  // of a hashed gram; 1/sqrt(kPlaces) each
constexpr uint64_t kFirstKeySeed = 1;
constexpr uint64_t kFirstValueSeed = 1001;

// The finaliser of splitmix64: every input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

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

void AddHashed(uint64_t gram, uint64_t seed, float weight, std::span<float> vector) {
  uint64_t bits = Mix(gram ^ Mix(seed));
  const float entry = weight / std::sqrt(static_cast<float>(kPlaces));
  for (int i = 0; i < kPlaces; ++i) {
    const size_t place = (bits >> 1) % vector.size();
    vector[place] += (bits & 1) != 0 ? entry : -entry;
    bits = Mix(bits);
  }
}

Features::Features(const Text& text) : tokens_(static_cast<double>(text.size())) {
  std::vector<std::string> names;
  std::vector<int32_t> occurrences;
  for (int64_t t = 0; t < text.size(); ++t) {
    const auto [word, added] =
        words_.try_emplace(Lower(text.TokenText(t)), static_cast<int32_t>(names.size()));
    if (added) {
      names.push_back(word->first);
      occurrences.push_back(0);
    }
    ++occurrences[static_cast<size_t>(word->second)];
    word_of_token_.push_back(word->second);
  }
  for (size_t w = 0; w < names.size(); ++w) {
    for (uint64_t gram : Grams(names[w])) counts_[gram] += occurrences[w];
  }
  for (const std::string& name : names) {
    const std::vector<float> key = Embed(name, kKeyDim, kFirstKeySeed);
    const std::vector<float> value = Embed(name, kValueDim, kFirstValueSeed);
    keys_.insert(keys_.end(), key.begin(), key.end());
    values_.insert(values_.end(), value.begin(), value.end());
  }
}

float Features::Weight(uint64_t gram) const {
  const auto count = counts_.find(gram);
  if (count == counts_.end()) return 0;
  return static_cast<float>(std::log1p(tokens_ / count->second));
}

bool Features::Knows(std::string_view token) const {
  const std::vector<uint64_t> grams = Grams(token);
  return std::any_of(grams.begin(), grams.end(), [&](uint64_t g) { return counts_.count(g) > 0; });
}

std::span<const float> Features::Key(int64_t token) const {
  constexpr auto kSize = static_cast<size_t>(kKeyHeads * kKeyDim);
  const auto word = static_cast<size_t>(word_of_token_[static_cast<size_t>(token)]);
  return std::span(keys_).subspan(word * kSize, kSize);
}

std::span<const float> Features::Value(int64_t token) const {
  constexpr auto kSize = static_cast<size_t>(kKeyHeads * kValueDim);
  const auto word = static_cast<size_t>(word_of_token_[static_cast<size_t>(token)]);
  return std::span(values_).subspan(word * kSize, kSize);
}

std::vector<float> Features::KeyOf(std::string_view token) const {
  return Embed(Lower(token), kKeyDim, kFirstKeySeed);
}

// The whole token counts as much as its n-grams together.
std::vector<float> Features::Embed(std::string_view token, int64_t dim, uint64_t first_seed) const {
  std::vector<float> vectors(static_cast<size_t>(kKeyHeads * dim));
  const std::vector<uint64_t> grams = Grams(token);
  const float share = 1 / std::sqrt(static_cast<float>(grams.size() - 1));
  for (size_t g = 0; g < grams.size(); ++g) {
    const float weight = Weight(grams[g]) * (g == 0 ? 1 : share);
    if (weight == 0) continue;
    for (int64_t head = 0; head < kKeyHeads; ++head) {
      const auto slice =
          std::span(vectors).subspan(static_cast<size_t>(head * dim), static_cast<size_t>(dim));
      AddHashed(grams[g], first_seed + static_cast<uint64_t>(head), weight, slice);
    }
  }
  return vectors;
}

}  // namespace tamis::tools::demo

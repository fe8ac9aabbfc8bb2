#include "tools/tamis/demo/features.h"

#include <cmath>

#include "tools/tamis/demo/random.h"

namespace tamis::tools::demo {
namespace {

constexpr int kPlaces = 4;  // of a hashed gram; 1/sqrt(kPlaces) each
constexpr uint64_t kFirstKeySeed = 1;
constexpr uint64_t kFirstValueSeed = 1001;

}  // namespace

void AddHashed(uint64_t gram, uint64_t seed, float weight, std::span<float> vector) {
  uint64_t bits = Mix(gram ^ Mix(seed));
  const float entry = weight / std::sqrt(static_cast<float>(kPlaces));
  for (int i = 0; i < kPlaces; ++i) {
    const size_t place = (bits >> 1) % vector.size();
    vector[place] += (bits & 1) != 0 ? entry : -entry;
    bits = Mix(bits);
  }
}

Features::Features(const Text& text) : Vocabulary(text) {
  for (int64_t w = 0; w < distinct_tokens(); ++w) {
    const std::vector<float> key = Embed(word(w), kKeyDim, kFirstKeySeed);
    const std::vector<float> value = Embed(word(w), kValueDim, kFirstValueSeed);
    keys_.insert(keys_.end(), key.begin(), key.end());
    values_.insert(values_.end(), value.begin(), value.end());
  }
}

std::span<const float> Features::Key(int64_t token) const {
  constexpr auto kSize = static_cast<size_t>(kKeyHeads * kKeyDim);
  const auto word = static_cast<size_t>(WordOf(token));
  return std::span(keys_).subspan(word * kSize, kSize);
}

std::span<const float> Features::Value(int64_t token) const {
  constexpr auto kSize = static_cast<size_t>(kKeyHeads * kValueDim);
  const auto word = static_cast<size_t>(WordOf(token));
  return std::span(values_).subspan(word * kSize, kSize);
}

std::vector<float> Features::KeyOf(std::string_view token) const {
  return Embed(token, kKeyDim, kFirstKeySeed);
}

std::vector<float> Features::Embed(std::string_view token, int64_t dim, uint64_t first_seed) const {
  std::vector<float> vectors(static_cast<size_t>(kKeyHeads * dim));
  for (const WeightedGram& g : WeightedGrams(token)) {
    for (int64_t head = 0; head < kKeyHeads; ++head) {
      const auto slice =
          std::span(vectors).subspan(static_cast<size_t>(head * dim), static_cast<size_t>(dim));
      AddHashed(g.gram, first_seed + static_cast<uint64_t>(head), g.weight, slice);
    }
  }
  return vectors;
}

}  // namespace tamis::tools::demo

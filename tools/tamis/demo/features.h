// Feature hashing: tokens become vectors by their character n-grams, without training. docs/demo.md
// explains the rules; nothing here depends on a phrase that is asked.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tools/tamis/demo/vocabulary.h"

namespace tamis::tools::demo {

inline constexpr int64_t kQueryHeads = 64;
inline constexpr int64_t kKeyHeads = 4;
inline constexpr int64_t kGroup = kQueryHeads / kKeyHeads;
inline constexpr int64_t kKeyDim = 192;
inline constexpr int64_t kValueDim = 128;

/// Adds weight * phi(gram), phi being a vector of length 1 with 4 entries of +-1/2 at places that
/// the gram and the seed choose.
void AddHashed(uint64_t gram, uint64_t seed, float weight, std::span<float> vector);

/// The vectors of a text's tokens.
class Features : public Vocabulary {
 public:
  explicit Features(const Text& text);

  /// [kKeyHeads, kKeyDim] of a token of the text.
  std::span<const float> Key(int64_t token) const;
  /// [kKeyHeads, kValueDim] of a token of the text.
  std::span<const float> Value(int64_t token) const;
  /// The same as Key for any token, of the text or not.
  std::vector<float> KeyOf(std::string_view token) const;

 private:
  std::vector<float> Embed(std::string_view token, int64_t dim, uint64_t first_seed) const;

  std::vector<float> keys_;    // [words, kKeyHeads, kKeyDim]
  std::vector<float> values_;  // [words, kKeyHeads, kValueDim]
};

}  // namespace tamis::tools::demo

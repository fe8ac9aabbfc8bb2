// q, k, v in bfloat16 from the features of tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tools/tamis/demo/features.h"

namespace tamis::tools::demo {

inline constexpr int64_t kKeyGather = 4;     ///< Tokens whose features a key sums.
inline constexpr int64_t kQueryGather = 16;  ///< The same for a query of the text.

/// scale_value of every attention here.
double ScaleValue();

/// Turns features into q, k, v. A key sums the features of its token and the 3 before it, a query
/// those of the 16 tokens up to it (a question's: of all its tokens), within one file. Keys are
/// scaled so that their mean square length in the text is 1. A query has a fixed length; each of
/// the 16 query heads of a group leaves out its own quarter of the channels.
class Embedding {
 public:
  Embedding(const Text& text, const Features& features, int32_t threads);

  /// [count, kKeyHeads, kKeyDim] and [count, kKeyHeads, kValueDim] of tokens from `first`.
  void Keys(int64_t first, int64_t count, uint16_t* out) const;
  void Values(int64_t first, int64_t count, uint16_t* out) const;
  /// [count, kQueryHeads, kKeyDim]
  void Queries(int64_t first, int64_t count, uint16_t* out) const;
  /// [kQueryHeads, kKeyDim]: the query of a question's last token.
  void Question(std::string_view text, const std::vector<Token>& tokens, uint16_t* out) const;

 private:
  void Gather(int64_t token, int64_t tokens, std::span<float> sum) const;
  void StoreQuery(std::span<const float> sum, uint16_t* out) const;

  const Features& features_;
  int32_t threads_;
  std::vector<int64_t> source_first_;  // per token
  std::vector<bool> listens_;          // [kQueryHeads, kKeyDim]
  float key_scale_ = 1;
};

}  // namespace tamis::tools::demo

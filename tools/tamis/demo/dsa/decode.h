// New tokens against the caches: the four operators of a layer, the fused operator, and dense
// attention.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/tamis/demo/dsa/cache.h"
#include "tools/tamis/demo/dsa/prologs.h"

namespace tamis::tools::demo::dsa {

/// [tokens, kHeads] statistics of a softmax.
struct Attention {
  std::vector<uint16_t> out;  ///< [tokens, kHeads, kLatent]
  std::vector<float> max;     ///< [tokens, kHeads]
  std::vector<float> sum;     ///< [tokens, kHeads]

  double LogSumExp(int64_t row) const;
};

/// Of the stages of a step.
struct Times {
  Measured mla, index, select, attend;
  Measured fused;  ///< These four in one call.
  Measured dense;  ///< Attention over all tokens.
};

/// One step of 1 or 2 tokens.
struct Step {
  int64_t tokens = 0;
  std::vector<uint16_t> query;          ///< [tokens, kHeads, kLatent]
  std::vector<uint16_t> query_rope;     ///< [tokens, kHeads, kRope]
  std::vector<uint16_t> query_norm;     ///< [tokens, kQueryRank]
  std::vector<uint16_t> index_query;    ///< [tokens, kIndexHeads, kIndexDim]
  std::vector<uint16_t> index_weights;  ///< [tokens, kIndexHeads]
  std::vector<int32_t> selected;        ///< [tokens, kTop]
  Attention sparse;
  Attention dense;
  Times times;
  bool fused_agrees = true;  ///< The same bits as the four operators, cache rows too.

  /// Whether its first token has the same outputs as that of `other`, bit for bit.
  bool SameFirst(const Step& other) const;
};

/// What the reference is asked for.
struct Check {
  bool dense = false;
  Agreement* agreement = nullptr;
};

class Decoder {
 public:
  /// The caches hold `length` tokens and have room for more.
  Decoder(const Context& context, const Weights& weights, int64_t length, Caches* caches)
      : context_(context), weights_(weights), length_(length), caches_(*caches) {}

  /// `x` [tokens, kHidden] of the tokens that follow the cached ones; their cache rows are written.
  /// With `check`, the reference computes every row.
  Status Run(const std::vector<uint16_t>& x, int64_t tokens, Step* step,
             const Check* check = nullptr);

 private:
  Tokens MakeTokens(const std::vector<uint16_t>& x, int64_t tokens) const;
  Status Prologs(const Tokens& tokens, Step* step, const Check* check);
  Status Select(Step* step, const Check* check);
  Status Attend(const Step& step, const std::vector<int32_t>& ids, int64_t block, Attention* out,
                Measured* measured, Agreement* agreement);
  Status Fused(const Tokens& tokens, Step* step);

  Context context_;
  const Weights& weights_;
  int64_t length_;
  Caches& caches_;
  Workspace workspace_;
};

}  // namespace tamis::tools::demo::dsa

// One attention layer at the dimensions of DeepSeek-V3.2 (671B), without training: its weights are
// tied so that tokens with similar hidden states attract each other. docs/demo.md explains them.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/tamis/demo/calls.h"

namespace tamis::tools::demo::dsa {

inline constexpr int64_t kHidden = 7168;
inline constexpr int64_t kQueryRank = 1536;
inline constexpr int64_t kHeads = 128;
inline constexpr int64_t kNope = 128;
inline constexpr int64_t kRope = 64;
inline constexpr int64_t kLatent = 512;
inline constexpr int64_t kIndexHeads = 64;
inline constexpr int64_t kIndexDim = 128;
inline constexpr int64_t kTop = 2048;  ///< sparse_count

/// A hidden state is what the token is (keys are made of it), what it looks for (queries), and one
/// channel that is 1.
inline constexpr int64_t kPart = 3583;
inline constexpr int64_t kContentChannel = 0;
inline constexpr int64_t kContextChannel = kPart;
inline constexpr int64_t kConstantChannel = 2 * kPart;

/// The model's own: 192^-0.5 (0.1 ln 40 + 1)^2.
double ScaleValue();

/// bf16; matrices are NZ but for w_uk.
struct Weights {
  std::vector<uint16_t> w_dq;        // [kHidden, kQueryRank]
  std::vector<uint16_t> w_uq_qr;     // [kQueryRank, kHeads * (kNope + kRope)]
  std::vector<uint16_t> w_uk;        // [kHeads, kNope, kLatent]
  std::vector<uint16_t> w_dkv_kr;    // [kHidden, kLatent + kRope]
  std::vector<uint16_t> w_idx_qb;    // [kQueryRank, kIndexHeads * kIndexDim]
  std::vector<uint16_t> w_idx_k;     // [kHidden, kIndexDim]
  std::vector<uint16_t> w_idx_proj;  // [kHidden, kIndexHeads]
  std::vector<uint16_t> ones;        // [kQueryRank]: every gamma
  std::vector<uint16_t> zeros;       // [kIndexDim]: the layer norm's beta

  int64_t bytes() const;
};

Status MakeWeights(const Context& context, Weights* weights);

/// cos and sin of `count` positions from `first`, [count, kRope] with equal halves, bf16.
/// DeepSeek's frequencies, 10000^(-k / 32), without the correction for long contexts.
void FillRope(int64_t first, int64_t count, std::vector<uint16_t>* cos, std::vector<uint16_t>* sin);

}  // namespace tamis::tools::demo::dsa

// A packed batch of a million tokens through compression and attention, as a training step would
// call them.
#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "base/cpu_features.h"
#include "base/levels.h"
#include "registry/compare.h"
#include "registry/registry.h"
#include "tamis/tamis.hpp"
#include "tests/support/levels.h"

namespace tamis {
namespace {

constexpr int64_t kSequences = 256;
constexpr int64_t kLength = 4096;
constexpr int64_t kTokens = kSequences * kLength;
constexpr int64_t kHeads = 4;
constexpr int64_t kDim = 64;
constexpr int64_t kWindows = (kLength - 32) / 16 + 1;
constexpr int64_t kSelected = 16;

// bfloat16 in (-1, 1) from a counter: cheap enough for 2^28 elements.
std::vector<uint16_t> Values(int64_t count, uint32_t seed) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  uint32_t state = seed;
  for (uint16_t& value : values) {
    state = state * 1664525u + 1013904223u;
    const float uniform = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    value = static_cast<uint16_t>(std::bit_cast<uint32_t>(uniform) >> 16);
  }
  return values;
}

std::vector<int64_t> Prefix(int64_t length) {
  std::vector<int64_t> prefix;
  for (int64_t b = 1; b <= kSequences; ++b) prefix.push_back(b * length);
  return prefix;
}

// Of a worker: the formula of docs/attention.md, with 64 rows of one head, 255 keys in 4 tiles,
// 64 + 64 dims, 64 blocks and a heap of 16. It knows nothing of the million tokens.
int64_t BytesOfAttention(Level level) {
  constexpr int64_t kRows = 64;
  constexpr int64_t kPadded = 256;
  const bool integers = base::Has(level, base::Feature::kInt16);
  const int64_t tile = 64 * 208 + (integers ? 32 * 80 + 64 + kRows + 32 * kRows : 32 * 64);
  const int64_t member = kRows * kDim + kPadded * kRows + kPadded / 64 * kRows + kRows +
                         kRows * kPadded + kRows * (kDim + 2);
  return 4 * (tile + 64 + 2 * kSelected + 4 * kRows + kRows / 4 + member);
}

template <class Params>
void ExpectAgrees(const char* name, const Params& params, int64_t rows) {
  const auto comparisons = registry::CompareWithReference(*registry::Find(name), &params,
                                                          registry::SpreadRows(rows, 64), 2);
  ASSERT_TRUE(comparisons.ok()) << comparisons.status().message();
  for (const registry::OutputComparison& c : *comparisons) {
    EXPECT_TRUE(c.ok()) << name << " " << c.output << ": " << c.first_mismatch;
  }
}

TEST(MillionTokens, RunThroughCompressionAndAttentionInTheStatedWorkspace) {
  constexpr DType kType = DType::kBFloat16;
  const std::vector<uint16_t> tokens = Values(kTokens * kHeads * kDim, 1);
  const std::vector<uint16_t> weight = Values(32 * kHeads, 2);
  const std::vector<int64_t> lengths = Prefix(kLength);
  const std::vector<int64_t> windows = Prefix(kWindows);
  std::vector<uint16_t> keys(static_cast<size_t>(kSequences * kWindows * kHeads * kDim));
  const nsa_compress::Params compress = {
      .input = {tokens.data(), kType, {kTokens, kHeads, kDim}},
      .weight = {weight.data(), kType, {32, kHeads}},
      .act_seq_len = lengths,
      .compress_block_size = 32,
      .compress_stride = 16,
      .output = {keys.data(), kType, {kSequences * kWindows, kHeads, kDim}}};
  const auto compression = nsa_compress::plan(compress, {.threads = 2});
  ASSERT_TRUE(compression.ok()) << compression.status().message();
  // threads x heads x (compress_block_size + dim in whole vectors of 16) floats
  EXPECT_EQ(compression->workspace_bytes(), 2 * kHeads * (32 + kDim) * 4);
  ASSERT_TRUE(compression->run().ok());
  ExpectAgrees("nsa_compress", compress, kSequences * kWindows);

  std::vector<uint16_t> out(tokens.size());
  std::vector<int32_t> indices(static_cast<size_t>(kTokens * kHeads * kSelected));
  const nsa_compress_attention::Params attend = {
      .query = {tokens.data(), kType, {kTokens, kHeads, kDim}},
      .key = {keys.data(), kType, {kSequences * kWindows, kHeads, kDim}},
      .value = {keys.data(), kType, {kSequences * kWindows, kHeads, kDim}},
      .scale_value = 0.125,
      .head_num = kHeads,
      .compress_block_size = 32,
      .compress_stride = 16,
      .select_block_size = 64,
      .select_block_count = kSelected,
      .actual_seq_qlen = lengths,
      .actual_cmp_seq_kvlen = windows,
      .attention_out = {out.data(), kType, {kTokens, kHeads, kDim}},
      .topk_indices = {indices.data(), DType::kInt32, {kTokens, kHeads, kSelected}}};
  for (Level level : test::TestedLevels()) {
    const auto planned = nsa_compress_attention::plan(attend, {.threads = 2, .level = level});
    ASSERT_TRUE(planned.ok()) << planned.status().message();
    EXPECT_EQ(planned->workspace_bytes(), 2 * BytesOfAttention(level)) << base::Name(level);
  }
  const auto attention = nsa_compress_attention::plan(attend, {.threads = 2});
  ASSERT_TRUE(attention.ok()) << attention.status().message();
  ASSERT_TRUE(attention->run().ok());
  ExpectAgrees("nsa_compress_attention", attend, kTokens);
}

}  // namespace
}  // namespace tamis

// Ranks that share the keys of a sequence: selection and attention over their parts, merged, are
// those over the whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/cpu_features.h"
#include "base/golden.h"
#include "ops/merge/test_ranks.h"
#include "registry/registry.h"
#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test {
namespace {

// --- the selection of lightning_indexer ---

// Index queries and weights of `tokens`, and the keys of `positions`: the same values whichever
// keys are asked for. Key j is a copy of key j % 5 every third time, and some score 0.
TestCall IndexerOver(const std::vector<int64_t>& positions, int64_t tokens, int64_t count) {
  const auto uniform = [](uint64_t seed, int64_t i) {
    return Random(seed + static_cast<uint64_t>(i)).Uniform() - 0.5;
  };
  const int64_t dim = 24;
  const int64_t heads = 5;
  TestCall call("lightning_indexer");
  call.Tensor("query", DType::kBFloat16, {1, tokens, heads, dim},
              [&](int64_t i) { return uniform(7301, i); })
      .Tensor("weights", DType::kFloat32, {1, tokens, heads},
              [&](int64_t i) { return uniform(7302, i); })
      .Tensor("key", DType::kBFloat16, {1, static_cast<int64_t>(positions.size()), 1, dim},
              [&](int64_t i) {
                int64_t position = positions[static_cast<size_t>(i / dim)];
                if (position % 4 == 1) return 0.0;
                if (position % 3 == 0) position %= 5;
                return uniform(7303, position * dim + i % dim);
              })
      .Set("sparse_count", count)
      .Set("sparse_mode", 0)
      .Set("return_value", true)
      .Set("value_dtype", "float32");
  return call;
}

// Selection over shards, merged, is the selection over all keys: indices and values, bit for bit.
TEST(MergeTopk, LightningIndexerOverShardsGivesTheWholeSelection) {
  struct Case {
    int64_t keys, world, interleave, count;
  };
  // The last: ranks without a key.
  for (const Case& c : {Case{500, 4, 1, 64}, Case{777, 3, 16, 700}, Case{500, 7, 64, 500},
                        Case{9000, 2, 128, 300}, Case{5, 8, 1, 9}}) {
    const int64_t tokens = 3;
    std::vector<int64_t> all(static_cast<size_t>(c.keys));
    std::iota(all.begin(), all.end(), 0);
    TestCall whole = IndexerOver(all, tokens, c.count);
    for (Level level : TestedLevels()) {
      const auto expected = whole.Run({.level = level});
      ASSERT_TRUE(expected.ok()) << expected.status().message();
      std::vector<double> values;
      std::vector<double> indices;
      for (int64_t rank = 0; rank < c.world; ++rank) {
        std::vector<int64_t> held;
        for (int64_t p : all) {
          if (OwnerOf(p, c.world, c.interleave) == rank) held.push_back(p);
        }
        TestCall shard = IndexerOver(held, tokens, c.count);
        const auto part = shard.Run({.level = level});
        ASSERT_TRUE(part.ok()) << part.status().message();
        for (int64_t i = 0; i < tokens * c.count; ++i) {
          const auto local = static_cast<int64_t>(shard.Got("sparse_indices", i));
          indices.push_back(local < 0 ? -1.0
                                      : static_cast<double>(held[static_cast<size_t>(local)]));
          values.push_back(shard.Got("sparse_values", i));
        }
      }
      TestCall merge("merge_topk");
      merge.Tensor("values", DType::kFloat32, {c.world, tokens, c.count}, Elements(values))
          .Tensor("indices", DType::kInt32, {c.world, tokens, c.count}, Elements(indices))
          .Set("sparse_count", c.count);
      const auto merged = merge.Run({.level = level});
      ASSERT_TRUE(merged.ok()) << merged.status().message();
      EXPECT_TRUE(merged->at("sparse_indices") == expected->at("sparse_indices"))
          << c.keys << " keys at level " << base::Name(level);
      EXPECT_TRUE(merged->at("sparse_values") == expected->at("sparse_values"))
          << c.keys << " keys at level " << base::Name(level);
    }
  }
}

// --- the attention of sparse_flash_attention ---

constexpr int64_t kLatent = 24;
constexpr int64_t kRope = 8;
constexpr int64_t kHeads = 3;

// Attention of `tokens` over the keys of `positions`, whose values depend on the position alone.
TestCall AttentionOver(const std::vector<int64_t>& positions, int64_t tokens,
                       const std::vector<int64_t>& ids, bool sinks) {
  const auto normal = [](uint64_t seed, int64_t i) {
    return Random(seed + static_cast<uint64_t>(i)).Normal();
  };
  const auto keys = static_cast<int64_t>(positions.size());
  const auto key = [&](uint64_t seed, int64_t dim) {
    return [&positions, &normal, seed, dim](int64_t i) {
      return normal(seed, positions[static_cast<size_t>(i / dim)] * dim + i % dim);
    };
  };
  const auto count = static_cast<int64_t>(ids.size()) / tokens;
  TestCall call("sparse_flash_attention");
  call.Tensor("query", DType::kBFloat16, {1, tokens, kHeads, kLatent},
              [&](int64_t i) { return normal(7501, i); })
      .Tensor("query_rope", DType::kBFloat16, {1, tokens, kHeads, kRope},
              [&](int64_t i) { return normal(7502, i); })
      .Tensor("key", DType::kBFloat16, {1, keys, 1, kLatent}, key(7503, kLatent))
      .Tensor("key_rope", DType::kBFloat16, {1, keys, 1, kRope}, key(7504, kRope))
      .Tensor("sparse_indices", DType::kInt32, {1, tokens, 1, count}, Elements(ids))
      .Set("scale_value", 0.25)
      .Set("return_softmax_lse", true);
  if (sinks)
    call.Tensor("sinks", DType::kFloat32, {kHeads},
                [&](int64_t i) { return 0.5 * static_cast<double>(i); });
  return call;
}

base::Golden GoldenOf(const char* op, TestCall& call, int64_t rows) {
  base::Golden golden;
  for (int64_t row = 0; row < rows; ++row) golden.rows.push_back(row);
  const auto inputs = call.Inputs();
  EXPECT_TRUE(inputs.ok());
  EXPECT_TRUE(registry::Find(op)->reference(inputs->params(), 1, &golden).ok());
  return golden;
}

constexpr int64_t kTokens = 4;
constexpr int64_t kKeys = 150;
constexpr int64_t kCount = 60;

// Token 0 selects keys of rank 0 alone, token 1 none, the others any that a causal mask shows.
std::vector<int64_t> SelectAtRandom(int64_t world, int64_t interleave, Random* random) {
  std::vector<int64_t> ids;
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<int64_t> row(static_cast<size_t>(kKeys - kTokens + t + 1));
    std::iota(row.begin(), row.end(), 0);
    random->Shuffle(&row);
    if (t == 0) std::erase_if(row, [&](int64_t p) { return OwnerOf(p, world, interleave) != 0; });
    row.resize(t == 1 ? 0 : std::min<size_t>(row.size(), t == 2 ? 7 : kCount));
    row.resize(kCount, -1);
    ids.insert(ids.end(), row.begin(), row.end());
  }
  return ids;
}

// What every rank makes of a selection: the states as it stored them, and what they should be.
struct Ranks {
  std::vector<double> outs, maxes, sums;
  std::vector<base::Golden> golden;
};

void AttendAtRank(int64_t rank, int64_t world, int64_t interleave, const std::vector<int64_t>& ids,
                  bool sinks, Level level, Ranks* ranks) {
  TestCall localize("localize_indices");
  localize.Tensor("indices", DType::kInt32, {kTokens, kCount}, Elements(ids))
      .Set("rank", rank)
      .Set("world", world)
      .Set("interleave", interleave);
  ASSERT_TRUE(localize.Run({.level = level}).ok());
  std::vector<int64_t> held;
  for (int64_t p = 0; p < kKeys; ++p) {
    if (OwnerOf(p, world, interleave) == rank) held.push_back(p);
  }
  TestCall part = AttentionOver(held, kTokens, localize.GotInts("sparse_indices"),
                                sinks && rank == 0);  // a sink belongs to one rank
  part.Set("sparse_mode", 0);
  const auto ran = part.Run({.level = level});
  ASSERT_TRUE(ran.ok()) << ran.status().message();
  ranks->golden.push_back(GoldenOf("sparse_flash_attention", part, kTokens));
  for (int64_t i = 0; i < part.OutputElems("out"); ++i) ranks->outs.push_back(part.Got("out", i));
  for (int64_t i = 0; i < part.OutputElems("softmax_max"); ++i) {
    ranks->maxes.push_back(part.Got("softmax_max", i));
    ranks->sums.push_back(part.Got("softmax_sum", i));
  }
}

TestCall MergeOf(const Ranks& ranks) {
  const auto world = static_cast<int64_t>(ranks.golden.size());
  TestCall merge("merge_attention_states");
  merge.Tensor("outs", DType::kBFloat16, {world, kTokens, kHeads, kLatent}, Elements(ranks.outs))
      .Tensor("softmax_maxes", DType::kFloat32, {world, kTokens, kHeads}, Elements(ranks.maxes))
      .Tensor("softmax_sums", DType::kFloat32, {world, kTokens, kHeads}, Elements(ranks.sums))
      .Set("out_dtype", "float32");
  return merge;
}

// A row of the merged result against the whole. Beside the merge's own error, a rank's state is off
// by its bounds and by the rounding of what was stored: of max absolutely, of sum relatively, which
// move its weight, and of out.
void ExpectTheWholeRow(const base::Golden& whole, const Ranks& ranks, const base::Golden& own,
                       const TestCall& merge, int64_t row) {
  const auto r = static_cast<size_t>(row);
  const double max = whole.outputs[1].value[r];
  const double sum = whole.outputs[2].value[r];
  if (sum == 0) {
    EXPECT_EQ(merge.Got("softmax_max", row), -kInfinity);
    EXPECT_EQ(merge.Got("softmax_sum", row), 0.0);
    for (int64_t c = 0; c < kLatent; ++c) EXPECT_EQ(merge.Got("out", row * kLatent + c), 0.0);
    return;
  }
  double max_bound = whole.outputs[1].bound[r];
  double of_weights = 0;
  std::vector<double> weight(ranks.golden.size());
  std::vector<double> error(ranks.golden.size());
  for (size_t i = 0; i < ranks.golden.size(); ++i) {
    const auto& outputs = ranks.golden[i].outputs;
    if (outputs[2].value[r] == 0) continue;
    weight[i] = outputs[2].value[r] * std::exp(outputs[1].value[r] - max) / sum;
    error[i] = outputs[1].bound[r] + base::RoundingBound(DType::kFloat32, outputs[1].value[r]) +
               outputs[2].bound[r] / outputs[2].value[r] + 0x1p-24;
    max_bound = std::max(max_bound, outputs[1].bound[r]);
    of_weights += weight[i] * error[i];
  }
  max_bound += base::RoundingBound(DType::kFloat32, max);
  EXPECT_NEAR(merge.Got("softmax_max", row), max, max_bound);
  EXPECT_NEAR(merge.Got("softmax_sum", row), sum,
              own.outputs[2].bound[r] + sum * (of_weights + max_bound + 0x1p-24));
  for (int64_t c = 0; c < kLatent; ++c) {
    const auto e = static_cast<size_t>(row * kLatent + c);
    double bound = own.outputs[0].bound[e];
    for (size_t i = 0; i < ranks.golden.size(); ++i) {
      const base::GoldenOutput& out = ranks.golden[i].outputs[0];
      const double size = std::fabs(out.value[e]);
      bound += weight[i] * (size * (error[i] + of_weights) + out.bound[e] +
                            base::RoundingBound(DType::kBFloat16, size + out.bound[e]));
    }
    const double want = whole.outputs[0].value[e];
    EXPECT_NEAR(merge.Got("out", row * kLatent + c), want,
                bound + base::RoundingBound(DType::kFloat32, std::fabs(want) + bound))
        << "row " << row << " channel " << c;
  }
}

// Conformance list of the family, line 14, with the operators themselves: every rank takes its
// share of the selection (localize_indices), attends over its own keys with sparse_mode 0, and the
// states are merged.
TEST(MergeAttentionStates, SparseFlashAttentionOverRanksMergesToTheWhole) {
  Random random(750);
  std::vector<int64_t> all(kKeys);
  std::iota(all.begin(), all.end(), 0);
  for (const auto& [world, interleave] : {std::pair<int64_t, int64_t>{2, 1}, {4, 16}, {5, 64}}) {
    for (const bool sinks : {false, true}) {
      const std::vector<int64_t> ids = SelectAtRandom(world, interleave, &random);
      TestCall attention = AttentionOver(all, kTokens, ids, sinks);
      const base::Golden whole = GoldenOf("sparse_flash_attention", attention, kTokens);
      for (Level level : TestedLevels()) {
        SCOPED_TRACE(std::to_string(world) + " ranks, level " + std::string(base::Name(level)) +
                     (sinks ? ", sinks" : ""));
        Ranks ranks;
        for (int64_t rank = 0; rank < world; ++rank)
          AttendAtRank(rank, world, interleave, ids, sinks, level, &ranks);
        TestCall merge = MergeOf(ranks);
        const base::Golden own = GoldenOf("merge_attention_states", merge, kTokens);
        ASSERT_TRUE(merge.Run({.level = level}).ok());
        for (int64_t row = 0; row < kTokens * kHeads; ++row)
          ExpectTheWholeRow(whole, ranks, own, merge, row);
      }
    }
  }
}

}  // namespace
}  // namespace tamis::test

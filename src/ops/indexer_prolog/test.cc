#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/cpu_features.h"
#include "tests/support/refusals.h"
#include "tests/support/weights.h"

namespace tamis::test {
namespace {

struct Idx {
  DType dtype = DType::kBFloat16;
  int64_t tokens = 3;
  int64_t first_token = 0;  // of a longer call with the same seed
  int64_t batch = 0;        // not 0: [B, S1, ...]
  int64_t hidden = 48;
  int64_t rank = 32;
  int64_t heads = 16;
  int64_t dim = 32;
  int64_t rope = 16;
  int64_t pages = 3;
  int64_t page = 4;
  bool nz = false;
  bool interleaved = true;
  std::vector<int64_t> slots = {5, 0, 7};
  DType index = DType::kInt32;
  int64_t gap = 0;
  uint64_t seed = 1;
};

// The cache holds NaN before: nobody reads it.
TestCall Build(const Idx& s) {
  TestCall call("indexer_prolog");
  const auto per_token = [&](const char* name, int64_t width) {
    call.Strided(name, s.dtype, TokenShape(s.tokens, s.batch, {width}), s.gap,
                 [&](int64_t i) { return Draw(s.seed, name, s.first_token * width + i); });
  };
  per_token("x", s.hidden);
  per_token("query_norm", s.rank);
  per_token("sin", s.rope);
  per_token("cos", s.rope);
  SetWeight(&call, "w_idx_qb", s.dtype, s.rank, s.heads * s.dim, s.nz, s.gap, s.seed);
  SetWeight(&call, "w_idx_k", s.dtype, s.hidden, s.dim, s.nz, s.gap, s.seed);
  SetWeight(&call, "w_idx_proj", s.dtype, s.hidden, s.heads, s.nz, s.gap, s.seed);
  for (const char* name : {"in_gamma_k", "in_beta_k"})
    call.Tensor(name, s.dtype, {s.dim}, [&](int64_t i) { return Draw(s.seed, name, i); });
  call.Tensor("cache_index", s.index, TokenShape(s.tokens, s.batch, {}),
              [&](int64_t i) { return static_cast<double>(s.slots[static_cast<size_t>(i)]); });
  call.Strided("index_k_cache", s.dtype, {s.pages, s.page, 1, s.dim}, s.gap,
               [](int64_t) { return NAN; });
  call.Set("weight_format", std::string(s.nz ? "NZ" : "ND"));
  call.Set("rope_interleaved", s.interleaved);
  return call;
}

std::vector<double> Row(const TestCall& call, const std::string& name, int64_t row, int64_t width) {
  std::vector<double> values;
  for (int64_t c = 0; c < width; ++c) values.push_back(call.Got(name, row * width + c));
  return values;
}

TEST(IndexerProlog, AgreesOverRandomShapesSlotsAndStrides) {
  Random random(911);
  for (int i = 0; i < 40; ++i) {
    Idx s;
    s.seed = random.Next();
    s.dtype = i % 2 == 0 ? DType::kBFloat16 : DType::kFloat16;
    s.batch = i % 3 == 0 ? random.Between(1, 3) : 0;
    s.tokens = random.Between(0, 21);
    if (s.batch > 0) s.tokens -= s.tokens % s.batch;
    s.nz = i % 4 == 0;
    const auto size = [&](int64_t most) {
      return s.nz ? 16 * random.Between(1, most / 16) : random.Between(1, most);
    };
    s.hidden = size(300);
    s.rank = size(150);
    s.dim = size(90);
    s.heads = s.nz ? 16 : random.Between(1, 5);
    s.rope = 2 * random.Between(0, s.dim / 2);
    s.interleaved = random.Below(2) == 0;
    s.pages = random.Between(0, 4);
    s.page = random.Between(1, 9);
    s.slots = RandomSlots(s.tokens, s.pages * s.page, &random);
    s.index = random.Below(2) == 0 ? DType::kInt32 : DType::kInt64;
    s.gap = random.Between(0, 1) * 5;
    TestCall call = Build(s);
    call.OutputGap(s.gap);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(IndexerProlog, AgreesOverManyTokensInChunksAndBlocks) {
  Random random(912);
  for (int64_t tokens : {129, 1027}) {  // a chunk and a bit, a block and a bit
    Idx s;
    s.tokens = tokens;
    s.hidden = 20;
    s.rank = 12;
    s.heads = 2;
    s.dim = 10;
    s.rope = 6;
    s.pages = 300;
    s.slots = RandomSlots(tokens, s.pages * s.page, &random);
    TestCall call = Build(s);
    ExpectConforms(call);
  }
}

TEST(IndexerProlog, TokensTogetherGiveTheBitsOfTokensAlone) {
  Idx s;
  s.tokens = 141;  // more than a chunk, and a tail of every tile size
  s.hidden = 150;
  s.rank = 75;
  s.heads = 3;
  s.pages = 40;
  s.slots.resize(static_cast<size_t>(s.tokens));
  std::iota(s.slots.begin(), s.slots.end(), 3);
  TestCall together = Build(s);
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(together.Run({.level = level}).ok());
    for (int64_t token : {0, 1, 64, 127, 128, 136, 140}) {
      for (int64_t count : {1, 2, 5, 20}) {
        if (token + count > s.tokens) continue;
        Idx part = s;
        part.first_token = token;
        part.tokens = count;
        part.slots.assign(s.slots.begin() + token, s.slots.begin() + token + count);
        TestCall alone = Build(part);
        ASSERT_TRUE(alone.Run({.level = level}).ok());
        const auto slot = s.slots[static_cast<size_t>(token)];
        const auto width = s.heads * s.dim;
        EXPECT_EQ(Row(together, "query", token, width), Row(alone, "query", 0, width));
        EXPECT_EQ(Row(together, "weights", token, s.heads), Row(alone, "weights", 0, s.heads));
        EXPECT_EQ(Row(together, "index_k_cache", slot, s.dim),
                  Row(alone, "index_k_cache", slot, s.dim));
      }
    }
  }
}

// Conformance list of the family, line 18.
TEST(IndexerProlog, SlotMinusOneIsNotWrittenHalvesOfCosAndSinDifferNzEqualsNdAndEpsilonCounts) {
  for (int64_t tokens : {1, 3, 11}) {
    Idx s;
    s.tokens = tokens;
    s.slots = {-1, 4, 2, -1, 11, 0, 1, 3, 5, 6, 7};
    s.slots.resize(static_cast<size_t>(tokens));
    TestCall nd = Build(s);
    ExpectConforms(nd);  // slot -1: every byte outside the other rows is unchanged
    s.nz = true;
    TestCall nz = Build(s);
    for (Level level : base::AvailableLevels()) {
      const auto nd_bytes = nd.Run({.level = level});
      const auto nz_bytes = nz.Run({.level = level});
      ASSERT_TRUE(nd_bytes.ok() && nz_bytes.ok());
      EXPECT_TRUE(*nd_bytes == *nz_bytes) << base::Name(level);
    }
  }
  Idx s;
  TestCall call = Build(s);
  const auto bytes = call.Run({});
  TestCall halves = Build(s);  // the second halves as the first ones
  for (const char* name : {"sin", "cos"}) {
    halves.Tensor(name, s.dtype, {s.tokens, s.rope}, [&](int64_t i) {
      return Draw(s.seed, name, i / s.rope * s.rope + i % (s.rope / 2));
    });
  }
  const auto halves_bytes = halves.Run({});
  ASSERT_TRUE(bytes.ok() && halves_bytes.ok());
  EXPECT_NE(halves_bytes->at("query"), bytes->at("query"));
  EXPECT_NE(halves_bytes->at("index_k_cache"), bytes->at("index_k_cache"));
  EXPECT_EQ(halves_bytes->at("weights"), bytes->at("weights"));
  call.Set("epsilon", 0.5);
  ExpectConforms(call);
  const auto epsilon_bytes = call.Run({});
  EXPECT_NE(epsilon_bytes->at("index_k_cache"), bytes->at("index_k_cache"));
  EXPECT_EQ(epsilon_bytes->at("query"), bytes->at("query"));
}

// Small integers: every step is exact. query_norm picks the columns 1 2 3 4 5 out of w_idx_qb.
TEST(IndexerProlog, RopeRotatesTheFirstChannelsByPairsOrHalves) {
  Idx s;
  s.tokens = 1;
  s.slots = {0};
  s.rank = 1;
  s.heads = 1;
  s.dim = 5;
  s.rope = 4;
  TestCall call = Build(s);
  call.Tensor("query_norm", s.dtype, {1, 1}, Elements({1}))
      .Tensor("w_idx_qb", s.dtype, {1, 5}, Elements({1, 2, 3, 4, 5}))
      .Tensor("sin", s.dtype, {1, 4}, Elements({10, 20, 30, 40}))
      .Tensor("cos", s.dtype, {1, 4}, Elements({1, 2, 3, 4}));
  for (Level level : base::AvailableLevels()) {
    // u = 1 3 2 4; u cos = 1 6 6 16; turned = -2 -4 1 3; turned sin = -20 -80 30 120
    call.Set("rope_interleaved", true);
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(Row(call, "query", 0, 5), (std::vector<double>{-19, -74, 36, 136, 5}));
    // u = 1 2 3 4; u cos = 1 4 9 16; turned = -3 -4 1 2; turned sin = -30 -80 30 80
    call.Set("rope_interleaved", false);
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(Row(call, "query", 0, 5), (std::vector<double>{-29, -76, 39, 96, 5}));
  }
}

TEST(IndexerProlog, RopeFlavourChangesQueriesAndKeysInTheirFirstChannelsOnly) {
  Idx s;
  TestCall pairs = Build(s);
  s.interleaved = false;
  TestCall halves = Build(s);
  ASSERT_TRUE(pairs.Run({}).ok() && halves.Run({}).ok());
  for (const auto& [name, row] : {std::pair{"query", int64_t{0}}, {"index_k_cache", int64_t{5}}}) {
    for (int64_t c = s.rope; c < s.dim; ++c)
      EXPECT_EQ(pairs.Got(name, row * s.dim + c), halves.Got(name, row * s.dim + c));
    EXPECT_NE(pairs.Got(name, row * s.dim + 1), halves.Got(name, row * s.dim + 1));
  }
}

// A rounding of x w_idx_k to bf16 would show.
TEST(IndexerProlog, TheLayerNormSeesItsInputUnrounded) {
  Idx s;
  s.tokens = 1;
  s.slots = {0};
  s.hidden = 2;
  s.dim = 2;
  s.rope = 0;
  TestCall call = Build(s);
  // x w = (256 + 0.5, 256): in bf16 both would be 256, and the norm 0.
  call.Tensor("x", s.dtype, {1, 2}, [](int64_t i) { return i == 0 ? 256.0 : 0.5; })
      .Tensor("w_idx_k", s.dtype, {2, 2}, [](int64_t i) { return i == 3 ? 0.0 : 1.0; })
      .Tensor("w_idx_proj", s.dtype, {2, 16}, [](int64_t) { return 0.0; })
      .Tensor("w_idx_qb", s.dtype, {32, 32}, [](int64_t) { return 0.0; })
      .Tensor("in_gamma_k", s.dtype, {2}, [](int64_t) { return 1.0; })
      .Tensor("in_beta_k", s.dtype, {2}, [](int64_t) { return 0.0; });
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(Row(call, "index_k_cache", 0, 2), (std::vector<double>{1, -1}));
  }
}

TEST(IndexerProlog, LastTokenOfASlotWins) {
  Idx s;
  s.tokens = 4;
  s.batch = 2;
  s.slots = {6, 1, 6, 6};
  TestCall call = Build(s);
  ExpectConforms(call);
  Idx last = s;
  last.batch = 0;
  last.tokens = 1;
  last.first_token = 3;
  last.slots = {6};
  TestCall alone = Build(last);
  ASSERT_TRUE(call.Run({.threads = 7}).ok() && alone.Run({}).ok());
  EXPECT_EQ(Row(call, "index_k_cache", 6, s.dim), Row(alone, "index_k_cache", 6, s.dim));
}

TEST(IndexerProlog, WhatOnlyAnAbsentOutputNeedsMayBeAbsent) {
  Idx s;
  s.tokens = 6;
  s.slots = {0, 1, 2, 3, 4, 5};
  TestCall full = Build(s);
  for (Level level : base::AvailableLevels()) {
    const auto all = full.Run({.level = level});
    ASSERT_TRUE(all.ok());
    const auto expect_same = [&](TestCall& call, size_t outputs) {
      ExpectConforms(call);
      const auto some = call.Run({.level = level});
      ASSERT_TRUE(some.ok()) << some.status().message();
      EXPECT_EQ(some->size(), outputs);
      for (const auto& [name, bytes] : *some) EXPECT_EQ(bytes, all->at(name)) << name;
    };
    TestCall keys = Build(s);
    keys.Without("query_norm").Without("w_idx_qb").Without("w_idx_proj");
    expect_same(keys, 1);
    TestCall queries = Build(s);
    queries.Without("w_idx_proj");
    expect_same(queries, 2);
    TestCall weights = Build(s);
    weights.Without("query_norm").Without("w_idx_qb");
    expect_same(weights, 2);
  }
}

TEST(IndexerProlog, WithoutASlotToWriteTheCachesWeightsAreNotRead) {
  Idx s;
  s.tokens = 3;
  s.slots = {0, 1, 2};
  TestCall writing = Build(s);
  s.slots = {-1, -5, -1};
  TestCall silent = Build(s);
  const auto cost = [](TestCall& call) { return call.WithOutputs()->MakePlan({})->cost(); };
  EXPECT_LT(cost(silent).read_bytes, cost(writing).read_bytes);
  EXPECT_LT(cost(silent).write_bytes, cost(writing).write_bytes);
  ExpectConforms(silent);
  for (Level level : base::AvailableLevels()) {
    const auto all = writing.Run({.level = level});
    const auto some = silent.Run({.level = level});
    ASSERT_TRUE(all.ok() && some.ok());
    for (const char* name : {"query", "weights"}) EXPECT_EQ(all->at(name), some->at(name)) << name;
  }
}

TEST(IndexerProlog, NoTokensWriteNothing) {
  for (int64_t batch : {0, 2}) {
    Idx s;
    s.tokens = 0;
    s.batch = batch;
    s.slots.clear();
    TestCall call = Build(s);
    ExpectConforms(call);
    EXPECT_TRUE(call.OutputsUntouched());
  }
}

TEST(IndexerProlog, BadArgumentsAreRefusedByName) {
  const auto refuse = [](const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    ExpectRefusedAfter(Build({}), change, argument, code);
  };
  constexpr DType kHalf = DType::kBFloat16;
  refuse(Listed("cache_index", DType::kInt64, {0, 12, 0}), "cache_index[1]");
  refuse(Filled("w_idx_qb", kHalf, {32, 511}), "w_idx_qb");
  refuse(Filled("w_idx_qb", kHalf, {31, 512}), "w_idx_qb");
  refuse(Filled("w_idx_proj", kHalf, {48, 15}), "w_idx_qb");  // 16 heads there, 15 here
  refuse(Filled("w_idx_proj", kHalf, {47, 16}), "w_idx_proj");
  refuse(Filled("w_idx_k", DType::kFloat16, {48, 32}), "w_idx_k");
  refuse(Filled("in_beta_k", kHalf, {31}), "in_beta_k");
  refuse(Filled("cos", kHalf, {3, 14}), "cos");
  refuse(Filled("index_k_cache", kHalf, {3, 4, 2, 32}), "index_k_cache");
  refuse(Filled("query_norm", kHalf, {2, 32}), "query_norm");
  refuse(With("epsilon", -1e-9), "epsilon");
  refuse(Without("w_idx_k"), "w_idx_k", StatusCode::kNullArgument);
  for (int64_t rope : {15, 34}) {
    Idx s;
    s.rope = rope;
    TestCall call = Build(s);
    ExpectRefused(call, StatusCode::kInvalidArgument, "sin");
  }
  Idx ragged;
  ragged.heads = 2;
  ExpectRefusedAfter(Build(ragged), With("weight_format", "NZ"), "w_idx_proj");
}

TEST(IndexerProlog, AnOutputWithoutWhatItNeedsIsRefused) {
  const auto refuse = [&](const char* output, const char* missing) {
    Idx s;
    TestCall call = Build(s);
    std::vector<uint16_t> memory(static_cast<size_t>(s.tokens * s.heads * s.dim));
    std::vector<int64_t> shape = {s.tokens, s.heads};
    if (std::string(output) == "query") shape.push_back(s.dim);
    call.Without(missing);
    call.View(output, TensorView(memory.data(), s.dtype, shape));
    Result<registry::Call> made = call.Inputs();
    ASSERT_TRUE(made.ok());
    Result<Plan> plan = made->MakePlan({});
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.status().code(), StatusCode::kNullArgument);
    EXPECT_EQ(plan.status().message().rfind(missing, 0), 0u) << plan.status().message();
  };
  refuse("query", "query_norm");
  refuse("query", "w_idx_qb");
  refuse("weights", "w_idx_proj");
}

}  // namespace
}  // namespace tamis::test

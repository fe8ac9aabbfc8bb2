#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "prim/formats/key_shadow_reference.h"
#include "tests/support/levels.h"
#include "tests/support/prologs.h"
#include "tests/support/refusals.h"

namespace tamis::test {
namespace {

struct Idx : Prolog {
  int64_t heads = 16;
  int64_t dim = 32;
  bool interleaved = true;
  bool last = false;
};

TestCall Build(const Idx& s) {
  TestCall call("indexer_prolog");
  SetCommon(&call, s);
  SetPerToken(&call, s, "query_norm", s.rank);
  SetWeight(&call, s, "w_idx_qb", s.rank, s.heads * s.dim);
  SetWeight(&call, s, "w_idx_k", s.hidden, s.dim);
  SetWeight(&call, s, "w_idx_proj", s.hidden, s.heads);
  SetVector(&call, s, "in_gamma_k", s.dim);
  SetVector(&call, s, "in_beta_k", s.dim);
  SetCache(&call, s, "index_k_cache", s.dim);
  call.Set("rope_interleaved", s.interleaved);
  call.Set("rope_last", s.last);
  return call;
}

TEST(IndexerProlog, AgreesOverRandomShapesSlotsAndStrides) {
  Random random(911);
  for (int i = 0; i < 40; ++i) {
    Idx s;
    DrawTokens(&s, i, &random);
    s.hidden = DrawSize(s, 300, &random);
    s.rank = DrawSize(s, 150, &random);
    s.dim = DrawSize(s, 90, &random);
    s.heads = s.nz ? 16 : random.Between(1, 5);
    s.rope = 2 * random.Between(0, s.dim / 2);
    s.interleaved = random.Below(2) == 0;
    s.last = random.Below(2) == 0;
    DrawCache(&s, &random);
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
  s.hidden = 150;
  s.rank = 75;
  s.heads = 3;
  ExpectTokensGiveTheirBitsAlone(&Build, s, {{"query", s.heads * s.dim}, {"weights", s.heads}},
                                 {{"index_k_cache", s.dim}});
}

// With a shadow of the cache, full of a byte that says nothing about what is there.
TestCall BuildWithShadow(const Idx& s) {
  TestCall call = Build(s);
  call.Strided("index_k_shadow", DType::kUInt8,
               {s.pages, prim::ShadowPanels(s.page), prim::ShadowPanelBytes(s.dim)}, s.gap,
               [](int64_t) { return 77.0; });
  return call;
}

TEST(IndexerProlog, TheShadowFollowsTheCacheAndNothingElse) {
  Random random(915);
  for (int i = 0; i < 24; ++i) {
    Idx s;
    DrawTokens(&s, i, &random);
    s.hidden = DrawSize(s, 60, &random);
    s.rank = DrawSize(s, 40, &random);
    s.dim = DrawSize(s, 140, &random);
    s.heads = s.nz ? 16 : random.Between(1, 3);
    s.rope = 2 * random.Between(0, s.dim / 2);
    DrawCache(&s, &random);
    s.page = random.Between(1, 40);
    s.slots = RandomSlots(s.tokens, s.pages * s.page, &random);
    TestCall call = BuildWithShadow(s);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
    std::vector<Context> contexts = {{.implementation = Implementation::kReference}};
    for (Level level : TestedLevels()) contexts.push_back({.level = level});
    for (const Context& context : contexts) {
      ASSERT_TRUE(call.Run(context).ok());
      const TensorView cache = call.memory("index_k_cache").view;
      const TensorView shadow = call.memory("index_k_shadow").view;
      for (int64_t key = 0; key < s.pages * s.page; ++key) {
        const int64_t page = key / s.page;
        const int64_t row = key % s.page;
        const auto* panel = static_cast<const uint8_t*>(shadow.data) + page * shadow.strides[0] +
                            row / prim::kShadowKeys * shadow.strides[1];
        const auto found = prim::LoadShadow(panel, s.dim, row % prim::kShadowKeys);
        if (std::find(s.slots.begin(), s.slots.end(), key) == s.slots.end()) {
          EXPECT_EQ(std::count(found.integers.begin(), found.integers.end(), 77 - 128), s.dim);
          continue;
        }
        std::vector<float> values(static_cast<size_t>(s.dim));
        for (int64_t c = 0; c < s.dim; ++c) {
          values[static_cast<size_t>(c)] = static_cast<float>(base::LoadAsDouble(
              cache.data, s.dtype, page * cache.strides[0] + row * cache.strides[1] + c));
        }
        const auto expected = prim::EncodeShadow(values);
        EXPECT_EQ(found.integers, expected.integers);
        EXPECT_EQ(std::memcmp(&found.bounds, &expected.bounds, sizeof(found.bounds)), 0);
      }
    }
  }
}

TEST(IndexerProlog, AShadowOfAnotherCacheIsRefused) {
  const Idx s;
  TestCall call = BuildWithShadow(s);
  const int64_t bytes = prim::ShadowPanelBytes(s.dim);
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{s.pages, 2, bytes},
                                            {s.pages, 1, bytes + 1},
                                            {s.pages + 1, 1, bytes}}) {
    ExpectRefusedAfter(call, Filled("index_k_shadow", DType::kUInt8, shape), "index_k_shadow");
  }
  ExpectRefusedAfter(call, Filled("index_k_shadow", DType::kInt8, {s.pages, 1, bytes}),
                     "index_k_shadow");
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
    ExpectSameBytes(nd, nz);
  }
  Idx s;
  TestCall call = Build(s);
  const auto bytes = call.Run({});
  TestCall halves = Build(s);  // the second halves as the first ones
  RepeatHalves(&halves, s);
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

// A head of 5 channels, 4 of which turn; small integers, so that every step is exact. query_norm
// picks the columns 1 2 3 4 5 out of w_idx_qb.
TestCall BuildOneHead() {
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
  return call;
}

TEST(IndexerProlog, RopeRotatesTheFirstChannelsByPairsOrHalves) {
  TestCall call = BuildOneHead();
  for (Level level : TestedLevels()) {
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

TEST(IndexerProlog, RopeRotatesTheLastChannelsWhereAsked) {
  TestCall call = BuildOneHead();
  call.Set("rope_last", true);
  for (Level level : TestedLevels()) {
    // u = 2 4 3 5; u cos = 2 8 9 20; turned = -3 -5 2 4; turned sin = -30 -100 60 160
    call.Set("rope_interleaved", true);
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(Row(call, "query", 0, 5), (std::vector<double>{1, -28, -92, 69, 180}));
    // u = 2 3 4 5; u cos = 2 6 12 20; turned = -4 -5 2 3; turned sin = -40 -100 60 120
    call.Set("rope_interleaved", false);
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(Row(call, "query", 0, 5), (std::vector<double>{1, -38, -94, 72, 140}));
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
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(Row(call, "index_k_cache", 0, 2), (std::vector<double>{1, -1}));
  }
}

TEST(IndexerProlog, LastTokenOfASlotWins) {
  ExpectLastTokenOfASlotWins(&Build, {{"index_k_cache", Idx{}.dim}});
}

TEST(IndexerProlog, WhatOnlyAnAbsentOutputNeedsMayBeAbsent) {
  Idx s;
  s.tokens = 6;
  s.slots = {0, 1, 2, 3, 4, 5};
  TestCall full = Build(s);
  for (Level level : TestedLevels()) {
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
  ExpectNoSlotReadsNoCacheWeights(&Build, {"query", "weights"});
}

TEST(IndexerProlog, NoTokensWriteNothing) { ExpectNoTokensWriteNothing(&Build); }

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

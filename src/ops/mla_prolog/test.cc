#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/support/allocations.h"
#include "tests/support/levels.h"
#include "tests/support/prologs.h"
#include "tests/support/refusals.h"

namespace tamis::test {
namespace {

struct Mla : Prolog {
  int64_t heads = 2;
  int64_t nope = 16;
  int64_t latent = 32;
  bool source = false;  // query_source in place of w_dq and gamma_cq
  bool bias = false;
  bool norm_rope = false;  // gamma_kr
  bool interleaved = true;
};

TestCall Build(const Mla& s) {
  TestCall call("mla_prolog");
  SetCommon(&call, s);
  if (s.source) {
    SetPerToken(&call, s, "query_source", s.rank);
  } else {
    SetWeight(&call, s, "w_dq", s.hidden, s.rank);
    SetVector(&call, s, "gamma_cq", s.rank);
  }
  SetWeight(&call, s, "w_uq_qr", s.rank, s.heads * (s.nope + s.rope));
  SetWeight(&call, s, "w_dkv_kr", s.hidden, s.latent + s.rope);
  call.Strided("w_uk", s.dtype, {s.heads, s.nope, s.latent}, s.gap,
               [&](int64_t i) { return 0.25 * Draw(s.seed, "w_uk", i); });
  SetVector(&call, s, "gamma_ckv", s.latent);
  if (s.bias && !s.source) SetVector(&call, s, "bias_dq", s.rank);
  if (s.bias) SetVector(&call, s, "bias_dkv_kr", s.latent + s.rope);
  if (s.norm_rope) SetVector(&call, s, "gamma_kr", s.rope);
  SetCache(&call, s, "kv_cache", s.latent);
  SetCache(&call, s, "kr_cache", s.rope);
  if (s.norm_rope) call.Set("epsilon_kr", 0.25);
  if (!s.interleaved) call.Set("rope_interleaved", false);
  return call;
}

void DrawSizes(Mla* s, Random* random) {
  s->hidden = DrawSize(*s, 300, random);
  s->rank = DrawSize(*s, 150, random);
  s->latent = DrawSize(*s, 90, random);
  s->heads = random->Between(1, 4);
  s->rope = s->nz ? 16 * random->Between(1, 2) : 2 * random->Between(0, 20);
  s->nope = DrawSize(*s, 40, random);
  DrawCache(s, random);
}

TEST(MlaProlog, AgreesOverRandomShapesSlotsAndStrides) {
  Random random(901);
  for (int i = 0; i < 40; ++i) {
    Mla s;
    DrawTokens(&s, i, &random);
    DrawSizes(&s, &random);
    TestCall call = Build(s);
    call.OutputGap(s.gap);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(MlaProlog, AgreesOverManyTokensInChunksAndBlocks) {
  Random random(902);
  for (int64_t tokens : {129, 1027}) {  // a chunk and a bit, a block and a bit
    Mla s;
    s.tokens = tokens;
    s.hidden = 20;
    s.rank = 12;
    s.nope = 6;
    s.rope = 4;
    s.latent = 10;
    s.pages = 300;
    s.slots = RandomSlots(tokens, s.pages * s.page, &random);
    TestCall call = Build(s);
    ExpectConforms(call);
  }
}

TEST(MlaProlog, AgreesInAllFlavours) {
  Random random(903);
  for (int i = 0; i < 48; ++i) {
    Mla s;
    DrawTokens(&s, i, &random);
    s.source = (i & 1) != 0;
    s.bias = (i & 2) != 0;
    s.norm_rope = (i & 4) != 0;
    s.interleaved = (i & 8) != 0;
    DrawSizes(&s, &random);
    TestCall call = Build(s);
    call.OutputGap(s.gap);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(MlaProlog, TokensTogetherGiveTheBitsOfTokensAloneInOtherFlavours) {
  Mla s;
  s.hidden = 150;
  s.latent = 37;
  s.rank = 75;
  s.source = s.bias = s.norm_rope = true;
  s.interleaved = false;
  ExpectTokensGiveTheirBitsAlone(&Build, s,
                                 {{"query", s.heads * s.latent}, {"query_rope", s.heads * s.rope}},
                                 {{"kv_cache", s.latent}, {"kr_cache", s.rope}});
}

// What the norm gives, given.
TEST(MlaProlog, TheNormedQueriesAsASourceGiveTheBitsOfTheQueries) {
  for (int64_t tokens : {1, 3, 11}) {
    Mla s;
    s.tokens = tokens;
    s.slots.assign(static_cast<size_t>(tokens), -1);
    TestCall low_rank = Build(s);
    s.source = true;
    TestCall source = Build(s);
    for (Level level : TestedLevels()) {
      const auto expected = low_rank.Run({.level = level});
      ASSERT_TRUE(expected.ok());
      source.Tensor("query_source", s.dtype, {s.tokens, s.rank},
                    [&](int64_t i) { return low_rank.Got("query_norm", i); });
      const auto got = source.Run({.level = level});
      ASSERT_TRUE(got.ok()) << got.status().message();
      EXPECT_EQ(got->at("query"), expected->at("query"));
      EXPECT_EQ(got->at("query_rope"), expected->at("query_rope"));
      EXPECT_EQ(got->count("query_norm"), 0u);
    }
  }
}

// Heads of 24 columns begin within a panel of 16.
TEST(MlaProlog, NzGivesTheBitsOfNd) {
  for (int64_t tokens : {1, 3, 11}) {
    Mla s;
    s.tokens = tokens;
    s.heads = 4;
    s.nope = 14;
    s.rope = 10;
    s.latent = 70;
    s.hidden = 256;
    s.slots.resize(static_cast<size_t>(tokens));
    std::iota(s.slots.begin(), s.slots.end(), 0);
    Mla nz = s;
    nz.nz = true;
    TestCall a = Build(s);
    TestCall b = Build(nz);
    ExpectSameBytes(a, b);
  }
}

TEST(MlaProlog, TokensTogetherGiveTheBitsOfTokensAlone) {
  Mla s;
  s.hidden = 150;
  s.latent = 37;
  s.rank = 75;
  ExpectTokensGiveTheirBitsAlone(
      &Build, s,
      {{"query", s.heads * s.latent}, {"query_rope", s.heads * s.rope}, {"query_norm", s.rank}},
      {{"kv_cache", s.latent}, {"kr_cache", s.rope}});
}

// Conformance list of the family, line 18.
TEST(MlaProlog, SlotMinusOneIsNotWrittenHalvesOfCosAndSinDifferNzEqualsNdAndEpsilonCounts) {
  Mla s;
  s.slots = {4, -1, 2};
  TestCall nd = Build(s);
  ExpectConforms(nd);  // slot -1: every byte outside rows 4 and 2 is unchanged
  s.nz = true;
  TestCall nz = Build(s);
  ExpectSameBytes(nd, nz);
  const auto nd_bytes = nd.Run({});
  ASSERT_TRUE(nd_bytes.ok());

  TestCall halves = Build(s);  // the second halves as the first ones
  RepeatHalves(&halves, s);
  const auto halves_bytes = halves.Run({});
  ASSERT_TRUE(halves_bytes.ok());
  EXPECT_NE(halves_bytes->at("query_rope"), nd_bytes->at("query_rope"));
  EXPECT_NE(halves_bytes->at("kr_cache"), nd_bytes->at("kr_cache"));

  TestCall cq = Build(s);
  cq.Set("epsilon_cq", 0.5);
  ExpectConforms(cq);
  const auto cq_bytes = cq.Run({});
  EXPECT_NE(cq_bytes->at("query_norm"), nd_bytes->at("query_norm"));
  EXPECT_NE(cq_bytes->at("query"), nd_bytes->at("query"));
  EXPECT_EQ(cq_bytes->at("kv_cache"), nd_bytes->at("kv_cache"));
  TestCall ckv = Build(s);
  ckv.Set("epsilon_ckv", 0.5);
  const auto ckv_bytes = ckv.Run({});
  EXPECT_NE(ckv_bytes->at("kv_cache"), nd_bytes->at("kv_cache"));
  EXPECT_EQ(ckv_bytes->at("query"), nd_bytes->at("query"));
}

// Small integers: every step is exact. x picks the rope columns 1 2 3 4 out of w_dkv_kr.
TEST(MlaProlog, RopeTakesPairsLeavesHalvesAndSinComesBeforeCos) {
  Mla s;
  s.tokens = 1;
  s.slots = {0};
  s.hidden = 1;
  s.latent = 1;
  s.rope = 4;
  TestCall call = Build(s);
  call.Tensor("x", s.dtype, {1, 1}, Elements({1}))
      .Tensor("w_dkv_kr", s.dtype, {1, 5}, Elements({1, 1, 2, 3, 4}))
      .Tensor("sin", s.dtype, {1, 4}, Elements({10, 20, 30, 40}))
      .Tensor("cos", s.dtype, {1, 4}, Elements({1, 2, 3, 4}));
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    // u = 1 3 2 4; u cos = 1 6 6 16; turned = -2 -4 1 3; turned sin = -20 -80 30 120
    EXPECT_EQ(Row(call, "kr_cache", 0, 4), (std::vector<double>{-19, -74, 36, 136}));
  }
}

TEST(MlaProlog, RopeByHalvesBiasAndTheNormOfRopeRowsComeInTheirOrder) {
  Mla s;
  s.tokens = 1;
  s.slots = {0};
  s.hidden = 1;
  s.latent = 1;
  s.rope = 4;
  s.bias = true;
  s.interleaved = false;
  TestCall call = Build(s);
  call.Tensor("x", s.dtype, {1, 1}, Elements({1}))
      .Tensor("w_dkv_kr", s.dtype, {1, 5}, Elements({1, 1, 2, 3, 4}))
      .Tensor("bias_dkv_kr", s.dtype, {5}, Elements({0, 1, 0, -1, 0}))
      .Tensor("sin", s.dtype, {1, 4}, Elements({10, 20, 30, 40}))
      .Tensor("cos", s.dtype, {1, 4}, Elements({1, 2, 3, 4}));
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    // u = 2 2 2 4; u cos = 2 4 6 16; turned = -2 -4 2 2; turned sin = -20 -80 60 80
    EXPECT_EQ(Row(call, "kr_cache", 0, 4), (std::vector<double>{-18, -76, 66, 96}));
  }
  // All 2: the norm makes ones of them, gamma 1 2 3 4.
  call.Tensor("bias_dkv_kr", s.dtype, {5}, Elements({0, 1, 0, -1, -2}))
      .Tensor("gamma_kr", s.dtype, {4}, Elements({1, 2, 3, 4}))
      .Set("epsilon_kr", 0.0);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    // u = 1 2 3 4; u cos = 1 4 9 16; turned = -3 -4 1 2; turned sin = -30 -80 30 80
    EXPECT_EQ(Row(call, "kr_cache", 0, 4), (std::vector<double>{-29, -76, 39, 96}));
  }
}

// 2^26 + 4000 ones - 2^26: beside 2^26 fp32 has no place for a one, but for a sum of some. The
// first chain, of up to 128 rows, loses its ones, 3.2% of them all; the last rounds to a multiple
// of 4, and the result to bfloat16, 0.4%.
TEST(MlaProlog, ALongSumKeepsItsSmallTerms) {
  constexpr int64_t kTerms = 4000;
  for (int64_t tokens : {1, 5, 40}) {
    Mla s;
    s.tokens = tokens;
    s.hidden = kTerms + 2;
    s.latent = 2;
    s.rope = 2;
    s.pages = 10;
    s.slots.resize(static_cast<size_t>(tokens));
    std::iota(s.slots.begin(), s.slots.end(), 0);
    TestCall call = Build(s);
    const auto ones = [](int64_t) { return 1.0; };
    const auto column = [&](int64_t i) {
      const int64_t row = i / 4;
      return row == 0 ? 0x1p26 : row == kTerms + 1 ? -0x1p26 : 1.0;
    };
    call.Strided("x", s.dtype, {tokens, s.hidden}, 0, ones)
        .Strided("w_dkv_kr", s.dtype, {s.hidden, 4}, 0, column)
        .Strided("sin", s.dtype, {tokens, 2}, 0, [](int64_t) { return 0.0; })
        .Strided("cos", s.dtype, {tokens, 2}, 0, ones);
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (double sum : Row(call, "kr_cache", tokens - 1, 2))
        EXPECT_NEAR(sum, kTerms, 0.05 * kTerms);
    }
  }
}

TEST(MlaProlog, LastTokenOfASlotWins) {
  ExpectLastTokenOfASlotWins(&Build, {{"kv_cache", Mla{}.latent}, {"kr_cache", Mla{}.rope}});
}

TEST(MlaProlog, SlotsOfBothIntegerTypesGiveTheSame) {
  Mla s;
  s.slots = {11, -7, 3};
  TestCall narrow = Build(s);
  s.index = DType::kInt64;
  TestCall wide = Build(s);
  ExpectSameBytes(narrow, wide);
}

TEST(MlaProlog, OutputsNotAskedForChangeNothingAndTheirWeightsAreNotRead) {
  Mla s;
  s.tokens = 6;
  s.slots = {0, 1, 2, 3, 4, 5};
  TestCall full = Build(s);
  const auto nan = [](int64_t) { return NAN; };
  for (Level level : TestedLevels()) {
    const auto all = full.Run({.level = level});
    ASSERT_TRUE(all.ok());
    const auto expect_same = [&](TestCall& call, size_t outputs) {
      const auto some = call.Run({.level = level});
      ASSERT_TRUE(some.ok());
      EXPECT_EQ(some->size(), outputs);
      for (const auto& [name, bytes] : *some) EXPECT_EQ(bytes, all->at(name)) << name;
    };
    TestCall cache_only = Build(s);
    cache_only.Omit("query").Omit("query_rope").Omit("query_norm");
    cache_only.Tensor("w_dq", s.dtype, {s.hidden, s.rank}, nan)
        .Tensor("gamma_cq", s.dtype, {s.rank}, nan)
        .Tensor("w_uq_qr", s.dtype, {s.rank, s.heads * (s.nope + s.rope)}, nan)
        .Tensor("w_uk", s.dtype, {s.heads, s.nope, s.latent}, nan);
    expect_same(cache_only, 2);
    TestCall norm_only = Build(s);
    norm_only.Omit("query").Omit("query_rope");
    norm_only.Tensor("w_uq_qr", s.dtype, {s.rank, s.heads * (s.nope + s.rope)}, nan)
        .Tensor("w_uk", s.dtype, {s.heads, s.nope, s.latent}, nan);
    expect_same(norm_only, 3);
    TestCall rope_only = Build(s);
    rope_only.Omit("query").Omit("query_norm");
    rope_only.Tensor("w_uk", s.dtype, {s.heads, s.nope, s.latent}, nan);
    expect_same(rope_only, 3);
    TestCall query_only = Build(s);
    query_only.Omit("query_rope").Omit("query_norm");
    expect_same(query_only, 3);
    ExpectConforms(cache_only);
    ExpectConforms(norm_only);
  }
}

TEST(MlaProlog, CachesMayInterleaveInOneBuffer) {
  Mla s;
  const int64_t width = s.latent + s.rope;
  std::vector<uint16_t> pages(static_cast<size_t>(s.pages * s.page * width), 0xFFFF);
  TestCall apart = Build(s);
  TestCall joined = Build(s);
  const auto view = [&](int64_t begin, int64_t count) {
    TensorView v(pages.data() + begin, s.dtype, {s.pages, s.page, 1, count});
    v.strides[0] = s.page * width;
    v.strides[1] = v.strides[2] = width;
    return v;
  };
  joined.View("kv_cache", view(0, s.latent)).View("kr_cache", view(s.latent, s.rope));
  ASSERT_TRUE(apart.Run({}).ok());
  const auto done = joined.Run({});
  ASSERT_TRUE(done.ok()) << done.status().message();
  for (int64_t slot : s.slots) {
    EXPECT_EQ(Row(apart, "kv_cache", slot, s.latent), Row(joined, "kv_cache", slot, s.latent));
    EXPECT_EQ(Row(apart, "kr_cache", slot, s.rope), Row(joined, "kr_cache", slot, s.rope));
  }
}

TEST(MlaProlog, NanStaysInItsToken) {
  Mla s;
  s.tokens = 12;
  s.slots.resize(12);
  std::iota(s.slots.begin(), s.slots.end(), 0);
  TestCall clean = Build(s);
  TestCall spoilt = Build(s);
  spoilt.Tensor("x", s.dtype, {s.tokens, s.hidden},
                [&](int64_t i) { return i == 5 * s.hidden + 3 ? NAN : Draw(s.seed, "x", i); });
  ExpectConforms(spoilt);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(clean.Run({.level = level}).ok());
    ASSERT_TRUE(spoilt.Run({.level = level}).ok());
    for (int64_t t = 0; t < s.tokens; ++t) {
      const auto width = s.heads * s.latent;
      if (t == 5) {
        EXPECT_TRUE(std::isnan(spoilt.Got("query", t * width)));
        EXPECT_TRUE(std::isnan(spoilt.Got("kr_cache", t * s.rope)));
      } else {
        EXPECT_EQ(Row(clean, "query", t, width), Row(spoilt, "query", t, width));
        EXPECT_EQ(Row(clean, "kv_cache", t, s.latent), Row(spoilt, "kv_cache", t, s.latent));
      }
    }
  }
}

TEST(MlaProlog, WithoutASlotToWriteTheCachesWeightsAreNotRead) {
  ExpectNoSlotReadsNoCacheWeights(&Build, {"query", "query_rope", "query_norm"});
}

TEST(MlaProlog, NoTokensWriteNothing) { ExpectNoTokensWriteNothing(&Build); }

TEST(MlaProlog, BadArgumentsAreRefusedByName) {
  const auto refuse = [](const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    ExpectRefusedAfter(Build({}), change, argument, code);
  };
  constexpr DType kHalf = DType::kBFloat16;
  refuse(Listed("cache_index", DType::kInt32, {0, 12, 1}), "cache_index[1]");
  refuse(Listed("cache_index", DType::kInt32, {0, 1, 2147483647}), "cache_index[2]");
  refuse(Listed("cache_index", DType::kInt64, {int64_t{1} << 62, 1, 2}), "cache_index[0]");
  refuse(Filled("cache_index", kHalf, {3}), "cache_index");
  refuse(Filled("cache_index", DType::kInt32, {2}), "cache_index");
  refuse(Filled("w_uq_qr", kHalf, {32, 63}), "w_uq_qr");
  refuse(Filled("w_dkv_kr", kHalf, {48, 47}), "w_dkv_kr");
  refuse(Filled("w_dq", kHalf, {47, 32}), "w_dq");
  refuse(Filled("w_dq", DType::kFloat16, {48, 32}), "w_dq");
  refuse(Filled("gamma_ckv", kHalf, {31}), "gamma_ckv");
  refuse(Filled("cos", kHalf, {3, 14}), "cos");
  refuse(Filled("kr_cache", kHalf, {3, 4, 1, 14}), "kr_cache");
  refuse(Filled("kr_cache", kHalf, {2, 4, 1, 16}), "kr_cache");
  refuse(Filled("x", kHalf, {1, 1, 3, 48}), "x");
  refuse(With("epsilon_cq", -1e-9), "epsilon_cq");
  refuse(With("epsilon_ckv", -1.0), "epsilon_ckv");
  refuse(With("epsilon_kr", -1.0), "epsilon_kr");
  refuse(Filled("bias_dq", kHalf, {31}), "bias_dq");
  refuse(Filled("bias_dkv_kr", kHalf, {47}), "bias_dkv_kr");
  refuse(Filled("gamma_kr", kHalf, {14}), "gamma_kr");
  refuse(Filled("query_source", kHalf, {3, 32}), "w_dq");  // beside it
  refuse(Filled("query_source", kHalf, {3, 31}), "query_source");
  refuse(Without("kv_cache"), "kv_cache", StatusCode::kNullArgument);
  refuse([](TestCall& c) { c.View("kr_cache", c.view("kv_cache")); }, "kr_cache");
}

TEST(MlaProlog, QueriesOfNoSourceAreRefused) {
  Mla s;
  TestCall cache_only = Build(s);
  cache_only.Omit("query_norm").Without("w_dq");
  ExpectRefused(cache_only, StatusCode::kNullArgument, "w_dq");
  TestCall no_norm = Build(s);
  no_norm.Omit("query_norm").Without("gamma_cq");
  ExpectRefused(no_norm, StatusCode::kNullArgument, "gamma_cq");
  s.source = true;
  TestCall both = Build(s);
  both.Tensor("bias_dq", s.dtype, {s.rank}, [](int64_t) { return 0.0; });
  ExpectRefused(both, StatusCode::kInvalidArgument, "bias_dq");
}

TEST(MlaProlog, AnOddRopeWidthIsRefused) {
  Mla s;
  s.rope = 15;
  TestCall call = Build(s);
  ExpectRefused(call, StatusCode::kInvalidArgument, "sin");
}

TEST(MlaProlog, NzIsRefusedUnlessDenseInMultiplesOf16) {
  Mla s;
  s.hidden = 40;
  TestCall ragged = Build(s);
  ragged.Set("weight_format", "NZ");
  ExpectRefused(ragged, StatusCode::kInvalidArgument, "w_dq");
  Mla strided;
  strided.gap = 16;
  TestCall gaps = Build(strided);
  gaps.Set("weight_format", "NZ");
  ExpectRefused(gaps, StatusCode::kInvalidArgument, "w_dq");
}

// Nothing behind these views is read before the size is found to be impossible.
TEST(MlaProlog, AWorkspaceBeyondMemoryIsRefusedByTheRun) {
  const LargestAllocation largest(size_t{1} << 28);
  Mla s;
  s.slots = {-1, -1, -1};
  TestCall call = Build(s);
  constexpr int64_t kHuge = int64_t{1} << 48;
  std::vector<uint16_t> elements(8);
  size_t next = 0;
  const auto fake = [&](const char* name, std::vector<int64_t> shape) {
    call.View(name, TensorView(&elements[next++], s.dtype, shape));
  };
  fake("w_uk", {s.heads, s.nope, kHuge});
  fake("gamma_ckv", {kHuge});
  fake("w_dkv_kr", {s.hidden, kHuge + s.rope});
  fake("kv_cache", {0, s.page, 1, kHuge});
  fake("kr_cache", {0, s.page, 1, s.rope});
  call.Omit("query").Omit("query_rope").Omit("query_norm");
  const Result<Outputs> outputs = call.Run({});
  EXPECT_EQ(outputs.status().code(), StatusCode::kNoMemory) << outputs.status().message();
  EXPECT_EQ(outputs.status().message().rfind("workspace: ", 0), 0u) << outputs.status().message();
  EXPECT_TRUE(call.OutputsUntouched());
}

}  // namespace
}  // namespace tamis::test

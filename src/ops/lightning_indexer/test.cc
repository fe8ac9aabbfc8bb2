#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "ops/lightning_indexer/test_calls.h"
#include "prim/call/work.h"
#include "tamis/ops/lightning_indexer.hpp"
#include "tests/support/levels.h"
#include "tests/support/refusals.h"

namespace tamis::test::indexer {
namespace {

TEST(LightningIndexer, AgreesOverRandomLayoutsShapesAndLengths) {
  Random random(51);
  for (int i = 0; i < 60; ++i) {
    Shape s;
    constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.weights = random.Below(3) == 0 ? DType::kFloat32 : s.dtype;
    s.tnd = random.Below(2) == 0;
    s.keys = random.Below(2) == 0 ? Keys::kPaged : s.tnd ? Keys::kTnd : Keys::kBsnd;
    s.heads = random.Between(1, 70);
    s.dim = random.Between(1, 70);
    s.page = random.Between(1, 40);
    s.count = random.Between(0, 60);
    s.mode = random.Below(2) == 0 ? 3 : 0;
    s.padding = random.Between(0, 2);
    s.gap = random.Between(0, 1) * 5;
    s.lengths = random.Below(2) == 0 ? DType::kInt32 : DType::kInt64;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Between(0, 9));
      s.n.push_back(random.Between(0, 150));
    }
    HideSomeKeys(&s, &random);
    s.out_float32 = false;
    CompressSomeKeys(&s, &random);
    TestCall call = Indexer(s, random.Next());
    constexpr std::array kPruning = {"auto", "off", "on"};
    call.Set("pruning", kPruning[static_cast<size_t>(random.Below(3))]);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// 10^5 selections: each is float64's but for keys whose scores differ by less than the fp32 bound.
TEST(LightningIndexer, Float32SelectsAsFloat64) {
  Shape s;
  s.dtype = s.weights = DType::kFloat32;
  s.heads = 3;
  s.dim = 8;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.mode = 0;
  s.q = {20000};
  s.n = {60};
  for (uint64_t seed = 0; seed < 5; ++seed) {
    TestCall call = Indexer(s, 900 + seed);
    ExpectConforms(call);
  }
}

// What a token sees can be said in several ways: the same keys give the same bits.
TEST(LightningIndexer, LimitsSayWhatCausalityAndTheStaircaseSay) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat16, DType::kFloat32}) {
    for (int64_t ratio : {1, 4}) {
      Shape s;
      s.dtype = s.weights = dtype;
      s.q = {9};
      s.n = {60};
      const int64_t tokens = ratio == 1 ? 60 : 200;
      TestCall causal = Indexer(s, 61);
      if (ratio > 1) {
        causal.Set("compress_ratio", ratio)
            .List("actual_seq_lengths_tokens", DType::kInt32, {tokens});
      }
      s.mode = 0;
      TestCall limited = Indexer(s, 61);
      limited.Tensor("key_limits", DType::kInt32, {1, 9},
                     [&](int64_t i) { return static_cast<double>((tokens - 9 + i + 1) / ratio); });
      for (const char* pruning : {"off", "on"}) {
        causal.Set("pruning", pruning);
        limited.Set("pruning", pruning);
        ExpectSameBytes(causal, limited);
      }
    }
  }
}

TEST(LightningIndexer, KeysPaddedOnTheLeftAreAShorterSequence) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat16, DType::kFloat32}) {
    Shape s;
    s.dtype = s.weights = dtype;
    s.q = {5};
    s.n = {90};
    s.starts = {23};
    TestCall padded = Indexer(s, 62);
    s.starts = {};
    s.n = {67};
    TestCall cut = Indexer(s, 62);
    const TensorView key = padded.view("key");
    cut.Tensor("key", dtype, {1, 67, 1, s.dim},
               [&](int64_t i) { return base::LoadAsDouble(key.data, dtype, 23 * s.dim + i); });
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(padded.Run({.level = level}).ok());
      ASSERT_TRUE(cut.Run({.level = level}).ok());
      for (int64_t i = 0; i < 5 * s.count; ++i) {
        EXPECT_EQ(padded.Got("sparse_indices", i), cut.Got("sparse_indices", i) + 23);
        EXPECT_EQ(padded.Got("sparse_values", i), cut.Got("sparse_values", i));
      }
    }
  }
}

TEST(LightningIndexer, AgreesAtTheDocumentsDimsAcrossChunks) {
  Shape s;
  s.heads = 64;
  s.dim = 128;
  s.keys = Keys::kPaged;
  s.page = 128;
  s.n = {17000};  // three chunks of 8192
  s.q = {1};
  s.count = 2048;
  TestCall call = Indexer(s, 52);
  ExpectConforms(call);
}

TEST(LightningIndexer, ManyTokensWithoutChunksGiveWhatFewTokensGive) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.heads = 5;
  s.dim = 9;
  s.q = {70};
  s.n = {300};
  TestCall call = Indexer(s, 53);
  ExpectConforms(call);
}

// Conformance list of the family, line 16.
TEST(LightningIndexer, AllZeroScoresGivePositionsInOrder) {
  Shape s;
  s.q = {1};
  s.n = {100};
  s.count = 12;
  TestCall call = Indexer(s, 54);
  call.Tensor("query", s.dtype, {1, 1, 8, 16}, [](int64_t) { return -1.0; });
  call.Tensor("key", s.dtype, {1, 103, 1, 16}, [](int64_t) { return 1.0; });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t i = 0; i < 12; ++i)
      EXPECT_EQ(call.Got("sparse_indices", i), static_cast<double>(i));
    for (int64_t i = 0; i < 12; ++i) EXPECT_EQ(call.Got("sparse_values", i), 0.0);
  }
}

TEST(LightningIndexer, NegativeWeightsRankBelowZero) {
  Shape s;
  s.q = {1};
  s.n = {3};
  s.count = 4;
  s.heads = 1;
  s.dim = 1;
  TestCall call = Indexer(s, 55);
  call.Tensor("query", s.dtype, {1, 1, 1, 1}, [](int64_t) { return 1.0; })
      .Tensor("weights", s.dtype, {1, 1, 1}, [](int64_t) { return -2.0; })
      .Tensor("key", s.dtype, {1, 3, 1, 1}, [](int64_t i) {
        return i == 0 ? 3.0 : i == 1 ? -5.0 : 1.0;
      });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.GotInts("sparse_indices"), (std::vector<int64_t>{1, 2, 0, -1}));
    EXPECT_EQ(call.Got("sparse_values", 1), -2.0);
    EXPECT_EQ(call.Got("sparse_values", 2), -6.0);
    EXPECT_EQ(call.Got("sparse_values", 3), -kInfinity);
  }
  ExpectConforms(call);
}

TEST(LightningIndexer, FewerKeysThanTheCountAreAllListedThenMinusOne) {
  Shape s;
  s.n = {5};
  s.q = {5};  // tokens see 1, 2, ..., 5 keys; the tensor has 8
  s.count = 12;
  TestCall call = Indexer(s, 56);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t t = 0; t < 5; ++t) {
      std::vector<int64_t> row;
      for (int64_t i = 0; i < s.count; ++i)
        row.push_back(static_cast<int64_t>(call.Got("sparse_indices", t * s.count + i)));
      std::sort(row.begin(), row.begin() + t + 1);
      for (int64_t i = 0; i < s.count; ++i) EXPECT_EQ(row[static_cast<size_t>(i)], i <= t ? i : -1);
    }
  }
  ExpectConforms(call);
}

// Line 17.
TEST(LightningIndexer, TokensOfAStepSeeOneKeyMoreEach) {
  Shape s;
  s.q = {4};
  s.n = {30};
  s.count = 30;
  TestCall causal = Indexer(s, 57);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(causal.Run({.level = level}).ok());
    for (int64_t t = 0; t < 4; ++t) {
      int64_t listed = 0;
      for (int64_t i = 0; i < 30; ++i) {
        const auto index = static_cast<int64_t>(causal.Got("sparse_indices", t * 30 + i));
        EXPECT_LT(index, 27 + t);
        listed += index >= 0 ? 1 : 0;
      }
      EXPECT_EQ(listed, 27 + t);
    }
  }
  ExpectConforms(causal);
}

// Line 9.
TEST(LightningIndexer, PrefixSumsMayHoldEmptySequences) {
  for (const Keys keys : {Keys::kTnd, Keys::kPaged}) {
    Shape s;
    s.tnd = true;
    s.keys = keys;
    s.q = {3, 0, 2, 0, 0, 4};
    s.n = {20, 7, 0, 0, 33, 50};  // equal neighbours in either vector, in both, in none
    s.padding = 2;
    s.count = 9;
    TestCall call = Indexer(s, 64);
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      // Sequence 2 has queries and no keys; rows past the last prefix are padding.
      for (int64_t row : {3, 4, 9, 10}) {
        for (int64_t i = 0; i < s.count; ++i) {
          EXPECT_EQ(call.Got("sparse_indices", row * s.count + i), -1.0);
          EXPECT_EQ(call.Got("sparse_values", row * s.count + i), -kInfinity);
        }
      }
    }
    ExpectConforms(call);
  }
}

// Line 10: what is not a key holds NaN, unused entries of the table name no page.
TEST(LightningIndexer, RandomPagesOfEverySizeReadTheirKeysOnly) {
  for (const int64_t page : {1, 16, 128, 256, 1024}) {
    Shape s;
    s.keys = Keys::kPaged;
    s.page = page;
    s.q = {2, 3, 1};
    s.n = {2 * page + 3, page, page / 2 + 1};
    s.count = 40;
    TestCall call = Indexer(s, 65 + static_cast<uint64_t>(page));
    SCOPED_TRACE("page " + std::to_string(page));
    ExpectConforms(call);
    const auto before = call.Run({});
    ASSERT_TRUE(before.ok());
    // The same with hostile entries where none may be read: refused if they were.
    const TensorView table = call.view("block_table");
    auto* entries = static_cast<int32_t*>(table.data);
    for (int64_t b = 0; b < 3; ++b) {
      const int64_t used = (s.n[static_cast<size_t>(b)] + page - 1) / page;
      for (int64_t i = used; i < table.shape[1]; ++i)
        entries[b * table.strides[0] + i] = i % 2 == 0 ? INT32_MAX : INT32_MIN;
    }
    TestCall clean = Indexer(s, 65 + static_cast<uint64_t>(page));
    ExpectSameBytes(clean, call);
  }
}

// Line 13: both dtypes, and values that only one of them has.
TEST(LightningIndexer, BothHalfTypesAreReadAsWhatTheyAre) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    for (const DType weights : {dtype, DType::kFloat32}) {
      Shape s;
      s.dtype = dtype;
      s.weights = weights;
      s.q = {2};
      s.n = {60};
      TestCall call = Indexer(s, 66);
      ExpectConforms(call);
      // 65504 and 2^-24 are exact in float16; bfloat16 rounds the first to 65536.
      const auto row = [](int64_t i) { return i / 16 == 7 ? 65504.0 : 0x1p-24; };
      call.Tensor("key", dtype, {1, 63, 1, 16}, row)
          .Tensor("query", dtype, {1, 2, 8, 16}, [](int64_t i) { return i % 16 == 0 ? 1.0 : 0.0; })
          .Tensor("weights", weights, {1, 2, 8}, [](int64_t i) { return i % 8 == 0 ? 1.0 : 0.0; });
      for (Level level : TestedLevels()) {
        ASSERT_TRUE(call.Run({.level = level}).ok());
        EXPECT_EQ(call.Got("sparse_indices", 0), 7.0);
        EXPECT_EQ(call.Got("sparse_values", 0), dtype == DType::kFloat16 ? 65504.0 : 65536.0);
        EXPECT_EQ(call.Got("sparse_values", 1), 0x1p-24);
      }
    }
  }
}

TEST(LightningIndexer, NoHeadsOrNoDimsScoreZero) {
  for (const bool heads : {true, false}) {
    Shape s;
    s.heads = heads ? 3 : 0;
    s.dim = heads ? 0 : 8;
    s.q = {3};
    s.n = {40};
    TestCall call = Indexer(s, 67);
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (int64_t i = 0; i < s.count; ++i) {
        EXPECT_EQ(call.Got("sparse_indices", i), static_cast<double>(i));
        EXPECT_EQ(call.Got("sparse_values", i), 0.0);
      }
    }
    ExpectConforms(call);
  }
}

// What a token selects depends on no other token: not where the items are cut, nor along the keys.
TEST(LightningIndexer, ATokenAloneGivesTheBitsOfATokenInAChunk) {
  const int64_t dim = 8;
  const int64_t keys = 9000;  // alone: two runs of keys
  for (const int64_t heads : {3, 20, 64, 100}) {
    for (const int64_t tokens : {5, 70}) {  // 70: not cut along the keys
      Shape s;
      s.heads = heads;
      s.dim = dim;
      s.q = {tokens};
      s.n = {keys};
      s.count = 33;
      s.mode = 0;
      TestCall chunk = Indexer(s, 68);
      for (Level level : TestedLevels()) {
        const auto all = chunk.Run({.level = level});
        ASSERT_TRUE(all.ok());
        for (int64_t t = 0; t < tokens; t += 23) {
          TestCall alone = Indexer(s, 68);
          for (const char* name : {"query", "weights"}) {
            TensorView view = chunk.view(name);
            view.data = static_cast<unsigned char*>(view.data) + t * view.strides[1] * 2;
            view.shape[1] = 1;
            alone.View(name, view);
          }
          alone.View("key", chunk.view("key")).Without("actual_seq_lengths_query");
          const auto one = alone.Run({.level = level});
          ASSERT_TRUE(one.ok()) << one.status().message();
          for (const char* name : {"sparse_indices", "sparse_values"}) {
            const auto bytes = static_cast<ptrdiff_t>(s.count * 4);
            EXPECT_TRUE(std::equal(one->at(name).begin(), one->at(name).begin() + bytes,
                                   all->at(name).begin() + t * bytes))
                << name << ", " << heads << " heads, token " << t << " of " << tokens;
          }
        }
      }
    }
  }
}

// The formula of the README, and what it means for the largest call that a server makes.
TEST(LightningIndexer, TheWorkspaceIsTheFormulasAndFits256MiB) {
  const auto up = [](int64_t a, int64_t multiple) {
    return (a + multiple - 1) / multiple * multiple;
  };
  struct Case {
    int64_t tokens, heads, dim, keys, count, lists_per_token, tokens_per_item;
  };
  for (const Case& c : {Case{8192, 64, 128, 131072, 2048, 1, 4},
                        Case{1, 64, 128, 131072, 2048, 16, 4}, Case{63, 7, 40, 8193, 100, 2, 16},
                        Case{64, 300, 33, 1000, 2048, 1, 1}, Case{3, 1, 1, 0, 5, 0, 16}}) {
    // Planning reads lengths alone, so the pages of these are never touched.
    const auto halves = [](int64_t count) {
      return std::unique_ptr<uint16_t[]>(new uint16_t[static_cast<size_t>(count)]);
    };
    const auto query = halves(c.tokens * c.heads * c.dim);
    const auto key = halves((c.keys + 1) * c.dim);
    const auto weights = halves(c.tokens * c.heads);
    const std::unique_ptr<int32_t[]> indices(new int32_t[static_cast<size_t>(c.tokens * c.count)]);
    lightning_indexer::Params params;
    params.query = {query.get(), DType::kBFloat16, {1, c.tokens, c.heads, c.dim}};
    params.key = {key.get(), DType::kBFloat16, {1, c.keys, 1, c.dim}};
    params.weights = {weights.get(), DType::kBFloat16, {1, c.tokens, c.heads}};
    params.sparse_count = c.count;
    params.sparse_mode = 0;
    params.sparse_indices = {indices.get(), DType::kInt32, {1, c.tokens, 1, c.count}};
    const int64_t keep = std::min(c.count, c.keys);
    const int64_t t = c.tokens_per_item;
    ASSERT_LE(c.dim, 208);
    const int64_t stride = 208;
    const int64_t rows = up(c.heads, 16);
    const int64_t plain = up(t * rows * (c.dim + 1) + 16 * stride + 272, 16) + 8 * t * (keep + 16);
    const int64_t lists = c.tokens * c.lists_per_token;
    const int64_t groups = (c.tokens + t - 1) / t;
    const int64_t items = std::max(groups * c.lists_per_token, c.tokens);
    // A scan.
    const bool whole = c.tokens >= 64;
    const int64_t bytes = up(c.dim, 64);
    const int64_t state = up(up(c.heads, 4) * (bytes / 4 + 2) + 7, 16);
    const int64_t worker = up(plain, 16) + rows * (2 * up(c.dim, 16) + c.dim + 2 * rows) +
                           4 * bytes + 4 * up(4 * bytes + 48, 16) + 2048 +
                           (whole ? t * (state + 256) + up(t * c.keys, 16) : 0);
    const int64_t shared =
        up(groups * t * state * 4, 64) + up(lists * 1024, 64) + up(lists * 4 * 8192, 64);
    for (Level level : TestedLevels()) {
      for (const auto pruning :
           {lightning_indexer::Pruning::kAuto, lightning_indexer::Pruning::kOff}) {
        params.pruning = pruning;
        const bool scan = pruning == lightning_indexer::Pruning::kAuto && c.heads == 64 &&
                          base::Has(level, base::Feature::kFastIntegers);
        for (int32_t threads : {1, 4, 32}) {
          const auto plan = lightning_indexer::plan(params, {.threads = threads, .level = level});
          ASSERT_TRUE(plan.ok()) << plan.status().message();
          EXPECT_EQ(plan->workspace_bytes(),
                    up(8 * lists * (keep + 1), 64) + (scan && !whole ? shared : 0) +
                        std::min<int64_t>(threads, items) * up(4 * (scan ? worker : plain), 64))
              << c.tokens << " tokens";
          EXPECT_LE(plan->workspace_bytes(), int64_t{256} << 20);
        }
      }
    }
  }
}

TEST(LightningIndexer, MoreQueriesThanKeysLeaveLeadingRowsEmpty) {
  Shape s;
  s.q = {6};
  s.n = {2};
  s.count = 3;
  TestCall call = Indexer(s, 58);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t i = 0; i < 4 * 3; ++i) EXPECT_EQ(call.Got("sparse_indices", i), -1.0);
    EXPECT_EQ(call.Got("sparse_indices", 4 * 3), 0.0);
  }
  ExpectConforms(call);
}

TEST(LightningIndexer, NanScoresComeLastAndAreStillListed) {
  Shape s;
  s.q = {1};
  s.n = {20};
  s.count = 20;
  TestCall call = Indexer(s, 59);
  call.Tensor("key", s.dtype, {1, 23, 1, 16},
              [](int64_t i) { return i / 16 == 7 ? NAN : static_cast<double>(i % 5); });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.Got("sparse_indices", 19), 7.0);
    EXPECT_TRUE(std::isnan(call.Got("sparse_values", 19)));
    EXPECT_FALSE(std::isnan(call.Got("sparse_values", 18)));
  }
}

// Line 11.
TEST(LightningIndexer, OneLengthServesAllSequences) {
  for (const Keys keys : {Keys::kPaged, Keys::kBsnd}) {
    Shape s;
    s.q = {2, 2, 2};
    s.n = {31, 31, 31};
    s.padding = 1;
    s.keys = keys;
    TestCall each = Indexer(s, 60);
    TestCall one = Indexer(s, 60);
    one.List("actual_seq_lengths_key", DType::kInt32, {31});
    one.List("actual_seq_lengths_query", DType::kInt64, {2});
    ExpectSameBytes(each, one);
    ExpectConforms(one);
  }
}

TEST(LightningIndexer, WithoutQueryLengthsEveryTokenIsOne) {
  Shape s;
  s.q = {3, 3};
  s.n = {31, 20};
  TestCall given = Indexer(s, 69);
  TestCall absent = Indexer(s, 69);
  absent.Without("actual_seq_lengths_query");
  ExpectSameBytes(given, absent);
}

TEST(LightningIndexer, ValuesComeInTheDtypeAskedFor) {
  Shape s;
  TestCall call = Indexer(s, 61);
  call.Set("value_dtype", "input");
  ExpectConforms(call);
  call.Set("return_value", false);
  const auto without = call.Run({});
  ASSERT_TRUE(without.ok()) << without.status().message();
  EXPECT_EQ(without->size(), 1u);
}

TEST(LightningIndexer, BadArgumentsAreRefusedByName) {
  const auto refuse = [](Keys keys, const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    Shape s;
    s.q = {3, 2};
    s.n = {40, 17};
    s.keys = keys;
    s.tnd = keys == Keys::kTnd;
    ExpectRefusedAfter(Indexer(s, 62), change, argument, code);
  };
  constexpr auto kNull = StatusCode::kNullArgument;
  constexpr DType kInts = DType::kInt64;
  constexpr Keys kBsnd = Keys::kBsnd;
  constexpr Keys kTnd = Keys::kTnd;
  constexpr Keys kPaged = Keys::kPaged;
  refuse(kPaged, Without("block_table"), "block_table", kNull);
  refuse(kPaged, Without("actual_seq_lengths_key"), "actual_seq_lengths_key", kNull);
  refuse(kTnd, Without("actual_seq_lengths_query"), "actual_seq_lengths_query", kNull);
  refuse(kBsnd, Filled("block_table", DType::kInt32, {2, 3}), "block_table");
  refuse(
      kPaged,
      [](TestCall& c) {
        c.Tensor("block_table", DType::kInt32, {2, 4},
                 [](int64_t i) { return i == 1 ? 2147483647.0 : 0.0; });
      },
      "block_table[0, 1]");
  refuse(kPaged, Filled("block_table", DType::kInt32, {2, 2}), "block_table");
  refuse(kPaged, Listed("actual_seq_lengths_key", kInts, {40, -1}), "actual_seq_lengths_key[1]");
  refuse(kBsnd, Listed("actual_seq_lengths_key", kInts, {44, 1}), "actual_seq_lengths_key[0]");
  refuse(kBsnd, Listed("actual_seq_lengths_query", kInts, {4, 1}), "actual_seq_lengths_query[0]");
  refuse(kBsnd, Listed("actual_seq_lengths_key", kInts, {1, 1, 1}), "actual_seq_lengths_key");
  refuse(kTnd, Listed("actual_seq_lengths_query", kInts, {3, 2}), "actual_seq_lengths_query[1]");
  refuse(kTnd, Listed("actual_seq_lengths_key", kInts, {40, 58}), "actual_seq_lengths_key[1]");
  refuse(kTnd, Listed("actual_seq_lengths_key", kInts, {57}), "actual_seq_lengths_key");
  refuse(kBsnd, With("layout_key", "TND"), "key");
  refuse(kBsnd, With("sparse_mode", 1), "sparse_mode");
  refuse(kBsnd, With("sparse_count", -1), "sparse_count");
  refuse(kBsnd, Filled("weights", DType::kFloat16, {2, 3, 8}), "weights");
}

TEST(LightningIndexer, AQueryWithoutMemoryForItsSizesIsRefusedByItsWorkspace) {
  constexpr int64_t kHuge = int64_t{1} << 31;
  struct {
    std::array<int32_t, 4> indices = {-2, -2, -2,
                                      -2};  // before what claims 4 GiB from its place on
    std::array<bfloat16, 16> elements = {};
  } memory;
  lightning_indexer::Params params;
  params.query = {memory.elements.data(), {1, 1, kHuge, kHuge}};
  params.query.strides[0] = params.query.strides[1] = params.query.strides[2] = 0;
  params.key = {memory.elements.data(), {1, 1, 1, kHuge}};
  params.weights = {memory.elements.data(), {1, 1, kHuge}};
  params.sparse_count = 4;
  params.sparse_indices = {memory.indices.data(), {1, 1, 1, 4}};
  for (const auto pruning : {lightning_indexer::Pruning::kOff, lightning_indexer::Pruning::kOn}) {
    params.pruning = pruning;
    const Status status = lightning_indexer::run(params);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(),
              "workspace: expected at most 2^56 bytes, got a call that needs more");
    EXPECT_EQ(memory.indices, (std::array<int32_t, 4>{-2, -2, -2, -2}));
  }
}

}  // namespace
}  // namespace tamis::test::indexer

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/nsa_compress_attention_infer/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::decoding {
namespace {

TEST(NsaCompressAttentionInfer, AgreesOverRandomShapesLayoutsAndSteps) {
  Random random(31);
  for (int i = 0; i < 48; ++i) {
    Shape s;
    constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.bsnd = random.Below(2) == 0;
    s.kv_heads = random.Between(1, 3);
    s.group = random.Between(1, 9);
    s.qk_dim = random.Between(1, 70);
    s.v_dim = random.Between(1, 70);
    s.page = random.Between(1, 20);
    s.stride = random.Between(1, 16);
    s.block = random.Between(s.stride, 4 * s.stride);
    s.select = s.stride * random.Between(1, 6);
    s.count = random.Between(0, 8);
    s.mask = random.Below(2) == 0;
    s.keys.clear();
    for (int64_t b = random.Between(1, 4); b > 0; --b) {
      const int64_t tokens = random.Between(0, 90 * s.stride);
      s.tokens.push_back(tokens);
      s.keys.push_back(s.Windows(tokens));
      s.queries.push_back(random.Between(0, 5));
    }
    if (s.bsnd) s.padded_len = random.Between(1, 7);
    TestCall call = Infer(s, random.Next(), random.Next());
    call.Set("importance", random.Below(2) == 0 ? "cann" : "exact_overlap");
    call.Set("masked_rows", random.Below(2) == 0 ? "uniform" : "zero");
    call.Set("selection", random.Below(3) == 0 ? "causal" : "device");
    AskForMore(call, &random);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(NsaCompressAttentionInfer, AgreesForGroupsFrom1To64) {
  for (int64_t group : {1, 2, 3, 8, 16, 24, 64}) {
    Shape s;
    s.group = group;
    TestCall call = Infer(s, 32);
    SCOPED_TRACE("group " + std::to_string(group));
    ExpectConforms(call);
  }
}

// Many sequences of few rows: an item has several kv heads.
Shape ManySequences(int64_t kv_heads) {
  Shape s;
  s.kv_heads = kv_heads;
  Random random(static_cast<uint64_t>(kv_heads));
  s.keys = {150};
  while (s.keys.size() < 16) s.keys.push_back(random.Between(0, 200));
  return s;
}

TEST(NsaCompressAttentionInfer, AgreesWhereSeveralHeadsShareAnItem) {
  for (int64_t kv_heads : {2, 3, 4, 6}) {
    Shape s = ManySequences(kv_heads);
    for (int64_t group : {3, 16, 32}) {
      s.dtype = group == 3 ? DType::kFloat16 : DType::kBFloat16;
      s.group = group;
      TestCall call = Infer(s, 44);
      SCOPED_TRACE(std::to_string(kv_heads) + " kv heads, group " + std::to_string(group));
      ExpectConforms(call);
    }
  }
}

TEST(NsaCompressAttentionInfer, ASequencesBitsDoNotDependOnTheOthers) {
  for (int64_t kv_heads : {2, 3, 4}) {
    Shape s = ManySequences(kv_heads);
    const auto make = [&] {
      TestCall call = Infer(s, 45);
      const int64_t heads = s.kv_heads * s.group;
      call.Tensor("query", s.dtype, {s.batch(), heads, s.qk_dim},
                  [](int64_t i) { return std::sin(static_cast<double>(i)); });
      return call;
    };
    TestCall whole = make();
    s.keys.resize(1);
    TestCall alone = make();
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(whole.Run({.level = level}).ok());
      ASSERT_TRUE(alone.Run({.level = level}).ok());
      for (int64_t i = 0; i < s.kv_heads * s.group * s.v_dim; ++i)
        EXPECT_EQ(alone.Got("attention_out", i), whole.Got("attention_out", i)) << i;
      for (int64_t i = 0; i < s.kv_heads * s.count; ++i)
        EXPECT_EQ(alone.Got("topk_indices", i), whole.Got("topk_indices", i)) << i;
    }
  }
}

TEST(NsaCompressAttentionInfer, AgreesWithTheDevicesTestDims) {
  Shape s;  // 65 / 18, pages of 48, 32-token select blocks, k in the hundreds
  s.kv_heads = 1;
  s.group = 32;
  s.qk_dim = 65;
  s.v_dim = 18;
  s.page = 48;
  s.select = 32;
  s.count = 397;
  s.keys = {1180};
  s.scale = 0.01;
  TestCall call = Infer(s, 33);
  ExpectConforms(call);
}

TEST(NsaCompressAttentionInfer, SelectionStartsWithTheForcedBlocks) {
  Shape s;
  s.keys = {8, 4, 1, 5};  // J = ceil((n + 1) / 4) = 3, 2, 1, 2
  TestCall call = Infer(s, 34);
  ASSERT_TRUE(call.Run({}).ok());
  const std::vector<int64_t> got = call.GotInts("topk_indices");
  const std::vector<std::vector<int64_t>> want = {
      {0, 1, 2, -1}, {0, 1, -1, -1}, {0, -1, -1, -1}, {0, 1, -1, -1}};
  for (size_t b = 0; b < 4; ++b) {
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(got[b * 8 + i], want[b][i % 4]) << b;
  }
  for (int64_t count : {1, 2, 3, 5}) {  // fewer than three truncate in that order
    s.keys = {40};
    s.count = count;
    TestCall longer = Infer(s, 35);
    ASSERT_TRUE(longer.Run({}).ok());
    const std::vector<int64_t> forced = {0, 9, 10};  // J = 11
    const std::vector<int64_t> indices = longer.GotInts("topk_indices");
    for (size_t i = 0; i < std::min<size_t>(3, static_cast<size_t>(count)); ++i)
      EXPECT_EQ(indices[i], forced[i]);
  }
}

// 32/16/64, three tokens a step. The mask is a switch that causal selection has on.
TEST(NsaCompressAttentionInfer, CausalSelectionFollowsWhatEachTokenSees) {
  Shape s;
  s.kv_heads = 1;
  s.queries = {3, 3};
  s.tokens = {258, 33};
  s.keys = {s.Windows(258), s.Windows(33)};
  TestCall call = Infer(s, 46);
  call.Set("selection", "causal").Set("masked_rows", "zero").Set("return_block_scores", true);
  ExpectConforms(call);
  ASSERT_TRUE(call.Run({}).ok());
  const std::vector<int64_t> got = call.GotInts("topk_indices");
  const auto list = [&](int64_t row) {
    return std::vector<int64_t>(got.begin() + row * 4, got.begin() + row * 4 + 4);
  };
  EXPECT_EQ(list(0), (std::vector<int64_t>{0, 2, 3, 1}));  // 256 tokens
  for (int64_t row : {1, 2}) {
    const std::vector<int64_t> selected = list(row);
    EXPECT_EQ(std::vector<int64_t>(selected.begin(), selected.begin() + 3),
              (std::vector<int64_t>{0, 3, 4}));
  }
  for (int64_t row : {3, 4, 5}) EXPECT_EQ(list(row), (std::vector<int64_t>{0, -1, -1, -1}));
  EXPECT_EQ(call.Got("block_scores", 3 * 5), 0.0);  // 31 tokens
  EXPECT_GT(call.Got("block_scores", 4 * 5), 0.0);  // 32 tokens
  TestCall masked = Infer(s, 46);
  masked.Set("selection", "causal").Set("masked_rows", "zero").Set("return_block_scores", true);
  masked.Tensor("atten_mask", DType::kBool, {3, 40}, [](int64_t) { return 0.0; });
  ExpectSameBytes(call, masked);
}

TEST(NsaCompressAttentionInfer, PermutingPagesChangesNoBit) {
  Shape s;
  s.keys = {70, 33, 16};
  TestCall one = Infer(s, 36, 1);
  TestCall two = Infer(s, 36, 2);
  ExpectSameBytes(one, two);
}

TEST(NsaCompressAttentionInfer, SharedPagesAreReadTwice) {
  Shape s;
  s.keys = {16, 16};
  TestCall call = Infer(s, 37);
  call.Tensor("block_table", DType::kInt32, {2, 1}, [](int64_t) { return 1.0; });
  call.Tensor("key", s.dtype, {5, 16, 48},
              [](int64_t i) { return static_cast<double>(i % 13) / 13; });
  call.Tensor("value", s.dtype, {5, 16, 20}, [](int64_t i) { return static_cast<double>(i % 11); });
  ExpectConforms(call);
}

// A step of four tokens: row q attends like a single token at length sel - (3 - q).
TEST(NsaCompressAttentionInfer, RowsOfAStepEqualSingleTokensAtTheirLength) {
  for (int64_t tokens : {320, 321, 322, 323, 324, 335}) {
    Shape step;
    step.queries = {4};
    step.tokens = {tokens};
    step.keys = {step.Windows(tokens)};
    step.mask = true;
    TestCall whole = Infer(step, 38);
    ASSERT_TRUE(whole.Run({}).ok());
    for (int64_t q = 0; q < 4; ++q) {
      Shape single = step;
      single.queries = {1};
      single.tokens = {tokens - (3 - q)};
      TestCall one = Infer(step, 38);  // the same cache
      const TensorView& query = whole.view("query");
      one.Tensor("query", step.dtype, {1, 8, 24}, [&](int64_t i) {
        return base::LoadAsDouble(query.data, query.dtype, q * 8 * 24 + i);
      });
      one.Set("actual_seq_qlen", single.queries)
          .Set("actual_sel_seq_kvlen", single.tokens)
          .Set("actual_cmp_seq_kvlen", std::vector<int64_t>{step.Windows(tokens - (3 - q))})
          .Without("atten_mask");
      ASSERT_TRUE(one.Run({}).ok());
      for (int64_t i = 0; i < 80; ++i) {
        EXPECT_EQ(one.Got("attention_out", i), whole.Got("attention_out", q * 80 + i))
            << tokens << " token " << q;
      }
    }
  }
}

TEST(NsaCompressAttentionInfer, WithoutAMaskEveryTokenSeesEveryKey) {
  Shape s;
  s.queries = {3};
  s.tokens = {320};  // the last window ends at the last token
  s.keys = {19};
  TestCall open = Infer(s, 39);
  s.mask = true;
  TestCall masked = Infer(s, 39);
  ASSERT_TRUE(open.Run({}).ok());
  ASSERT_TRUE(masked.Run({}).ok());
  int different = 0;
  for (int64_t i = 0; i < 2 * 80; ++i)
    different += open.Got("attention_out", i) != masked.Got("attention_out", i) ? 1 : 0;
  EXPECT_GT(different, 100);  // tokens 0 and 1
  for (int64_t i = 2 * 80; i < 3 * 80; ++i)
    EXPECT_EQ(open.Got("attention_out", i), masked.Got("attention_out", i));
}

TEST(NsaCompressAttentionInfer, ASingleHiddenKeyStillGivesItsValueUnlessZero) {
  Shape s;
  s.queries = {2};
  s.tokens = {32};
  s.keys = {1};
  s.mask = true;
  TestCall call = Infer(s, 40);
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t i = 0; i < 80; ++i)
    EXPECT_EQ(call.Got("attention_out", i), call.Got("attention_out", 80 + i));
  call.Set("masked_rows", "zero");
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t i = 0; i < 80; ++i) EXPECT_EQ(call.Got("attention_out", i), 0.0);
  ExpectConforms(call);
}

TEST(NsaCompressAttentionInfer, LongStepsHideEveryWindowPastTheirLength) {
  Shape s;  // 40 tokens at once: more than one stride, so several windows are hidden from the first
  s.queries = {40};
  s.tokens = {352};
  s.keys = {s.Windows(352)};
  s.mask = true;
  TestCall call = Infer(s, 41);
  ExpectConforms(call);
}

TEST(NsaCompressAttentionInfer, PaddingRowsAreWritten) {
  Shape s;
  s.bsnd = true;
  s.padded_len = 4;
  s.queries = {2, 0};
  s.tokens = {600, 100};
  s.keys = {s.Windows(600), s.Windows(100)};
  TestCall call = Infer(s, 42);
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t row : {2, 3, 4, 5, 6, 7}) {
    for (int64_t i = 0; i < 80; ++i) EXPECT_EQ(call.Got("attention_out", row * 80 + i), 0.0);
    for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(call.Got("topk_indices", row * 8 + i), -1.0);
  }
  ExpectConforms(call);
}

TEST(NsaCompressAttentionInfer, NoKeysGiveZeroAndMinusOneUnlessStrict) {
  Shape s;
  s.keys = {0, 9};
  TestCall call = Infer(s, 43);
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t i = 0; i < 80; ++i) EXPECT_EQ(call.Got("attention_out", i), 0.0);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(call.Got("topk_indices", i), -1.0);
  ExpectConforms(call);
}

// Attention equals the training form on the last row without a mask; only candidates and forcing
// differ.
TEST(NsaCompressAttentionInfer, EqualsTheTrainingFormOnContiguousPages) {
  Random random(44);
  std::vector<double> key(48 * 2 * 24);
  std::vector<double> value(48 * 2 * 10);
  std::vector<double> query(8 * 24);
  for (auto* values : {&key, &value, &query}) {
    for (double& x : *values) x = random.Normal();
  }
  TestCall paged("nsa_compress_attention_infer");
  TestCall packed("nsa_compress_attention");
  paged.Tensor("key", DType::kFloat16, {3, 16, 48}, Elements(key))
      .Tensor("value", DType::kFloat16, {3, 16, 20}, Elements(value))
      .Tensor("block_table", DType::kInt32, {1, 3},
              [](int64_t i) { return static_cast<double>(i); })
      .Set("key_value_head_num", 2)
      .Set("page_block_size", 16)
      .Set("actual_cmp_seq_kvlen", std::vector<int64_t>{48});
  packed.Tensor("key", DType::kFloat16, {48, 2, 24}, Elements(key))
      .Tensor("value", DType::kFloat16, {48, 2, 10}, Elements(value))
      .Set("actual_seq_qlen", std::vector<int64_t>{1})
      .Set("actual_cmp_seq_kvlen", std::vector<int64_t>{48});
  for (TestCall* call : {&paged, &packed}) {
    call->Tensor("query", DType::kFloat16, {1, 8, 24}, Elements(query))
        .Set("scale_value", 0.2)
        .Set("head_num", 8)
        .Set("select_block_size", 64)
        .Set("select_block_count", 4)
        .Set("compress_block_size", 32)
        .Set("compress_stride", 16);
  }
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(paged.Run({.level = level}).ok());
    ASSERT_TRUE(packed.Run({.level = level}).ok());
    for (int64_t i = 0; i < 80; ++i)
      EXPECT_EQ(paged.Got("attention_out", i), packed.Got("attention_out", i));
  }
}

// A window of 48 tokens every 32: two reach over 80 tokens, so a second block of 64 is a candidate
// that only the end of the last window touches; importance counts whole strides.
TEST(NsaCompressAttentionInfer, WindowsNeedNotBeMultiplesOfTheStride) {
  Shape s;
  s.stride = 32;
  s.block = 48;
  s.keys = {2, 1, 20};  // J = 2, 1, 11
  s.count = 12;
  TestCall call = Infer(s, 47);
  ExpectConforms(call);
  ASSERT_TRUE(call.Run({}).ok());
  const std::vector<int64_t> got = call.GotInts("topk_indices");
  for (size_t b = 0; b < 3; ++b) {
    const int64_t blocks = std::vector<int64_t>{2, 1, 11}[b];
    const auto begin = got.begin() + static_cast<int64_t>(b) * 2 * s.count;
    EXPECT_EQ(std::count(begin, begin + s.count, -1), s.count - blocks) << b;
    EXPECT_EQ(*std::max_element(begin, begin + s.count), blocks - 1) << b;
  }
  s.queries = {3, 1, 2};
  s.tokens = {80 + 5, 48, 48 + 19 * 32};
  s.mask = true;
  TestCall step = Infer(s, 48);
  ExpectConforms(step);
}

// A score of every block is kept, and single tokens may claim any number of raw ones.
TEST(NsaCompressAttentionInfer, RawTokensWithoutEndAreRefused) {
  Shape s;
  s.keys = {37, 5};
  s.tokens = {608, 105};
  TestCall call = Infer(s, 49);
  call.Set("selection", "causal");
  const int64_t most = int64_t{s.select} << 24;
  ExpectRefusedAfter(call, With("actual_sel_seq_kvlen", std::vector<int64_t>{most + 1, 105}),
                     "actual_sel_seq_kvlen");
}

TEST(NsaCompressAttentionInfer, BadArgumentsAreRefusedByName) {
  Shape s;
  s.queries = {2, 1};
  s.tokens = {608, 105};
  s.keys = {37, 5};
  s.mask = true;
  const auto refuse = [&](const Change& change, const std::string& argument,
                          StatusCode code = StatusCode::kInvalidArgument) {
    ExpectRefusedAfter(Infer(s, 45), change, argument, code);
  };
  using Ints = std::vector<int64_t>;
  refuse(Without("block_table"), "block_table", StatusCode::kNullArgument);
  refuse(
      [](TestCall& c) {
        c.Set("selection", "causal").Without("atten_mask").Without("actual_sel_seq_kvlen");
      },
      "actual_sel_seq_kvlen", StatusCode::kNullArgument);
  refuse(Without("actual_cmp_seq_kvlen"), "actual_cmp_seq_kvlen", StatusCode::kNullArgument);
  refuse(Without("actual_sel_seq_kvlen"), "actual_sel_seq_kvlen", StatusCode::kNullArgument);
  refuse(Filled("block_table", DType::kInt64, {2, 4}, 1), "block_table");
  refuse(Filled("block_table", DType::kInt32, {2, 2}, 1), "block_table");
  refuse(
      [&](TestCall& c) {
        c.Tensor("block_table", DType::kInt32, {2, 4},
                 [](int64_t i) { return i == 2 ? 7.0 : 0.0; });
      },
      "block_table[0, 2]");
  refuse(
      [&](TestCall& c) {
        c.Tensor("block_table", DType::kInt32, {2, 4},
                 [](int64_t i) { return i == 4 ? -1.0 : 0.0; });
      },
      "block_table[1, 0]");
  refuse(With("page_block_size", 17), "key");
  refuse(With("page_block_size", 0), "key");
  refuse(With("key_value_head_num", 3), "key");
  refuse(With("key_value_head_num", 0), "key");
  refuse(With("key_value_head_num", INT64_MIN), "key");
  refuse(With("head_num", 7), "head_num");
  refuse(With("scale_value", double{NAN}), "scale_value");
  refuse(With("select_block_count", -1), "select_block_count");
  refuse(Filled("query", DType::kFloat16, {3, 8 * 24}, 1), "query");
  refuse(With("actual_cmp_seq_kvlen", Ints{37}), "actual_cmp_seq_kvlen");
  refuse(With("actual_cmp_seq_kvlen", Ints{37, -5}), "actual_cmp_seq_kvlen[1]");
  refuse(With("actual_cmp_seq_kvlen", Ints{36, 5}), "actual_cmp_seq_kvlen[0]");
  refuse(With("actual_cmp_seq_kvlen", Ints{INT64_MAX, 5}), "actual_cmp_seq_kvlen");
  refuse(With("actual_seq_qlen", Ints{2, 2}), "actual_seq_qlen");
  refuse(With("actual_seq_qlen", Ints{3}), "actual_seq_qlen");
  refuse(Without("actual_seq_qlen"), "query");
  refuse(With("layout", "BSND"), "query");
  refuse(With("layout", "BSH"), "layout");
  refuse(Filled("atten_mask", DType::kBool, {4}, 1), "atten_mask");
  refuse(Filled("query", DType::kInt32, {3, 8, 24}, 1), "query");
  refuse(Filled("query", DType::kBFloat16, {3, 8, 24}, 1), "key");
  refuse(Filled("query", DType::kFloat16, {3, 8, 25}, 1), "query");
  refuse(Filled("value", DType::kFloat16, {9, 16, 21}, 1), "value");
  for (int64_t bad : {int64_t{0}, int64_t{-1}, int64_t{33}, INT64_MAX})
    refuse(With("compress_stride", bad), "compress_stride");
  for (int64_t bad : {int64_t{0}, int64_t{40}, INT64_MIN})
    refuse(With("select_block_size", bad), "select_block_size");
}

}  // namespace
}  // namespace tamis::test::decoding

// What attention over compressed keys is, and what holds beside the formula.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "ops/nsa_compress_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::compressed {
namespace {

TEST(NsaCompressAttention, AgreesOverRandomShapesMasksAndPolicies) {
  Random random(21);
  for (int i = 0; i < 48; ++i) {
    Shape s;
    constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.kv_heads = random.Between(1, 3);
    s.group = random.Between(1, 9);
    s.qk_dim = random.Between(1, 70);
    s.v_dim = random.Between(1, 70);
    s.stride = random.Between(1, 16);
    s.block = random.Between(s.stride, 4 * s.stride);
    s.select = s.stride * random.Between(1, 6);
    s.count = random.Between(0, 8);
    s.gap = random.Between(0, 1) * 3;
    s.queries.clear();
    s.keys.clear();
    for (int64_t b = random.Between(1, 4); b > 0; --b) {
      s.queries.push_back(random.Between(0, 12));
      s.keys.push_back(random.Between(0, 150));
    }
    TestCall call = Attention(s, random.Next());
    if (random.Below(2) == 0)
      AddRandomMask(call, "atten_mask", s.max_q(), s.max_n(), 0.3, random.Next());
    if (random.Below(2) == 0)
      AddRandomMask(call, "topk_mask", s.max_q(), s.max_blocks(), 0.2, random.Next());
    call.Set("importance", random.Below(2) == 0 ? "cann" : "exact_overlap");
    call.Set("masked_rows", random.Below(2) == 0 ? "uniform" : "zero");
    if (random.Below(3) == 0) HideByPosition(call, s, &random);
    if (random.Below(3) == 0) AddLimits(call, s, &random);
    if (random.Below(3) == 0) AddGlobals(call, s, &random);
    call.Set("out_dtype", random.Below(3) == 0 ? "float32" : "input");
    call.Set("return_block_scores", random.Below(3) == 0);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(NsaCompressAttention, AgreesForGroupsFrom1To64) {
  for (int64_t group : {1, 2, 4, 5, 7, 8, 15, 16, 17, 32, 33, 48, 64}) {
    Shape s;
    s.group = group;
    s.kv_heads = group > 16 ? 1 : 2;
    s.queries = {5, 37};
    s.keys = {70, 129};
    TestCall call = Attention(s, static_cast<uint64_t>(group));
    SCOPED_TRACE("group " + std::to_string(group));
    ExpectConforms(call);
  }
}

TEST(NsaCompressAttention, AgreesAtTheDocumentsDimsUnderACausalMask) {
  for (const char* policy : {"uniform", "zero"}) {
    Shape s;
    s.kv_heads = 2;
    s.group = 16;
    s.qk_dim = 192;
    s.v_dim = 128;
    s.queries = {150};
    s.keys = {8};
    s.scale = 1 / std::sqrt(192.0);
    TestCall call = Attention(s, 5);
    AddCausalMask(call, s);
    call.Set("masked_rows", policy);
    ExpectConforms(call);
  }
}

TEST(NsaCompressAttention, AgreesWithOddDims) {
  Shape s;
  s.qk_dim = 65;
  s.v_dim = 18;
  s.gap = 1;
  TestCall call = Attention(s, 6);
  ExpectConforms(call);
}

// 33000 keys of 32 rows outgrow the kept tile.
TEST(NsaCompressAttention, TwoPassesAgreeBeyondTheKeptTile) {
  Shape s;
  s.kv_heads = 1;
  s.group = 32;
  s.qk_dim = 4;
  s.v_dim = 3;
  s.queries = {2};
  s.keys = {33000};
  TestCall call = Attention(s, 8);
  Result<registry::Call> made = call.WithOutputs();
  ASSERT_TRUE(made.ok());
  EXPECT_NE(made->MakePlan({})->explanation().find("two passes"), std::string::npos);
  ExpectConforms(call);
}

TEST(NsaCompressAttention, SingleKeyGivesItsValue) {
  Shape s;
  s.keys = {1};
  s.queries = {3};
  s.count = 1;
  TestCall call = Attention(s, 9);
  for (Level level : {Level::kScalar, Level::kAuto}) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t h = 0; h < 6; ++h) {
        EXPECT_EQ(call.Got("softmax_sum", t * 6 + h), 1.0);
        for (int64_t c = 0; c < s.v_dim; ++c) {
          const TensorView& value = call.view("value");
          EXPECT_EQ(call.Got("attention_out", (t * 6 + h) * s.v_dim + c),
                    base::LoadAsDouble(value.data, value.dtype, h / 3 * s.v_dim + c));
        }
      }
      EXPECT_EQ(call.Got("topk_indices", t * 2), 0.0);
    }
  }
}

TEST(NsaCompressAttention, EqualKeysGiveTheMean) {
  Shape s;
  s.keys = {64};
  TestCall call = Attention(s, 10);
  call.Tensor("key", s.dtype, {64, 2, 20},
              [](int64_t i) { return static_cast<double>(i % 20) / 8; })
      .Tensor("value", s.dtype, {64, 2, 12}, [](int64_t i) { return static_cast<double>(i / 24); });
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t i = 0; i < call.OutputElems("attention_out"); ++i)
    EXPECT_EQ(call.Got("attention_out", i), 31.5);
  for (int64_t i = 0; i < call.OutputElems("softmax_sum"); ++i)
    EXPECT_EQ(call.Got("softmax_sum", i), 64.0);
}

TEST(NsaCompressAttention, FullyMaskedRowsAverageOrVanish) {
  Shape s;
  s.queries = {2};
  s.keys = {20};
  s.count = 5;
  TestCall call = Attention(s, 13);
  call.Tensor("atten_mask", DType::kBool, {2, 20}, [](int64_t i) { return i < 20 ? 1.0 : 0.0; })
      .Tensor("value", s.dtype, {20, 2, 12}, [](int64_t i) { return static_cast<double>(i / 24); });
  ASSERT_TRUE(call.Run({}).ok());
  const double lowest = -static_cast<double>(std::numeric_limits<float>::max());
  for (int64_t h = 0; h < 6; ++h) {
    EXPECT_EQ(call.Got("softmax_max", h), lowest);
    EXPECT_EQ(call.Got("softmax_sum", h), 20.0);
    EXPECT_EQ(call.Got("attention_out", h * 12), 9.5);
  }
  // All complete blocks tie, the last one is cut.
  for (int64_t j = 0; j < 5; ++j) EXPECT_EQ(call.Got("topk_indices", j), static_cast<double>(j));
  ExpectConforms(call);

  call.Set("masked_rows", "zero");
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t h = 0; h < 6; ++h) {
    EXPECT_EQ(call.Got("softmax_max", h), lowest);
    EXPECT_EQ(call.Got("softmax_sum", h), 0.0);
    EXPECT_EQ(call.Got("attention_out", h * 12), 0.0);
  }
  ExpectConforms(call);
}

TEST(NsaCompressAttention, CausalZeroRowsDoNotHearTheFuture) {
  Shape s;
  s.queries = {100};
  s.keys = {5};
  s.count = 2;
  const auto with_future = [&](double future) {
    TestCall call = Attention(s, 17);
    AddCausalMask(call, s);
    call.Set("masked_rows", "zero");
    call.Tensor("value", s.dtype, {5, 2, 12},
                [=](int64_t i) { return i / 24 < 2 ? 1.0 + static_cast<double>(i % 7) : future; });
    return call;
  };
  TestCall a = with_future(3.0);
  TestCall b = with_future(-8.0);
  ASSERT_TRUE(a.Run({}).ok());
  ASSERT_TRUE(b.Run({}).ok());
  // Window 2 ends at token 2 * 16 + 31 = 63: earlier tokens see windows 0 and 1 only.
  for (int64_t i = 0; i < 63 * 6 * 12; ++i)
    ASSERT_EQ(a.Got("attention_out", i), b.Got("attention_out", i)) << i;
  for (int64_t i = 0; i < 31 * 6 * 12; ++i) ASSERT_EQ(a.Got("attention_out", i), 0.0);
}

TEST(NsaCompressAttention, NoKeysGiveZeroMinusInfinityAndMinusOne) {
  Shape s;
  s.queries = {2, 3};
  s.keys = {0, 7};
  for (const char* policy : {"uniform", "zero"}) {
    TestCall call = Attention(s, 19);
    call.Set("masked_rows", policy);
    ASSERT_TRUE(call.Run({}).ok());
    for (int64_t h = 0; h < 12; ++h) {
      EXPECT_EQ(call.Got("softmax_max", h), -kInfinity);
      EXPECT_EQ(call.Got("softmax_sum", h), 0.0);
      for (int64_t c = 0; c < 12; ++c) EXPECT_EQ(call.Got("attention_out", h * 12 + c), 0.0);
    }
    for (int64_t i = 0; i < 2 * 2 * 4; ++i) EXPECT_EQ(call.Got("topk_indices", i), -1.0);
    ExpectConforms(call);
  }
  TestCall call = Attention(s, 19);
  call.Set("actual_sel_seq_kvlen", std::vector<int64_t>{0, 2});
  ExpectRefusedByStrictAlone(call, "actual_cmp_seq_kvlen");
}

TEST(NsaCompressAttention, OutputsNotAskedForChangeNothing) {
  Shape s;
  TestCall call = Attention(s, 20);
  const Result<Outputs> all = call.Run({});
  ASSERT_TRUE(all.ok());
  call.Omit("topk_indices").Omit("softmax_max").Omit("softmax_sum");
  const Result<Outputs> one = call.Run({});
  ASSERT_TRUE(one.ok()) << one.status().message();
  EXPECT_EQ(one->size(), 1u);
  EXPECT_TRUE(one->at("attention_out") == all->at("attention_out"));
}

TEST(NsaCompressAttention, NanStaysInItsRow) {
  Shape s;
  s.queries = {4};
  s.keys = {70};
  TestCall call = Attention(s, 22);
  Random random(22);
  call.Tensor("query", s.dtype, {4, 6, 20},
              [&](int64_t i) { return i == (2 * 6 + 4) * 20 + 3 ? NAN : random.Normal(); });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t row = 0; row < 24; ++row) {
      EXPECT_EQ(std::isnan(call.Got("softmax_sum", row)), row == 16);
      EXPECT_EQ(std::isnan(call.Got("softmax_max", row)), row == 16);
      for (int64_t c = 0; c < 12; ++c)
        EXPECT_EQ(std::isnan(call.Got("attention_out", row * 12 + c)), row == 16);
    }
  }
}

// One value is infinite: rows that see its key have it, others nothing of it.
TEST(NsaCompressAttention, AHiddenValueTouchesNoRow) {
  for (const char* hides : {"atten_mask", "key_limits", "causal"}) {
    for (int64_t kv_heads : {2, 16}) {
      Shape s;
      s.kv_heads = kv_heads;
      s.queries = {9};
      s.keys = {40};
      s.block = s.stride = 1;
      s.select = 4;
      TestCall call = Attention(s, 220);
      Random random(220);
      call.Tensor("value", s.dtype, {40, kv_heads, s.v_dim}, [&](int64_t i) {
        return i / s.v_dim / kv_heads == 33 ? kInfinity : random.Normal();
      });
      const auto sees = [](int64_t token, int64_t key) { return key < 30 + token; };
      if (hides == std::string("atten_mask")) {
        call.Tensor(hides, DType::kBool, {9, 40},
                    [&](int64_t i) { return sees(i / 40, i % 40) ? 0.0 : 1.0; });
      } else if (hides == std::string("key_limits")) {
        call.Tensor(hides, DType::kInt32, {9},
                    [](int64_t t) { return 30.0 + static_cast<double>(t); });
      } else {  // the last token is raw token 37 of 38
        call.Set(hides, true).Set("actual_raw_seq_kvlen", std::vector<int64_t>{38});
      }
      for (Level level : TestedLevels()) {
        ASSERT_TRUE(call.Run({.level = level}).ok());
        for (int64_t t = 0; t < 9; ++t) {
          const double out = call.Got("attention_out", t * kv_heads * s.group * s.v_dim);
          EXPECT_EQ(std::isinf(out), sees(t, 33)) << hides << " " << t;
          EXPECT_FALSE(std::isnan(out)) << hides << " " << t;
        }
      }
    }
  }
}

TEST(NsaCompressAttention, LargeScoresStayFinite) {
  Shape s;
  s.scale = 300;
  s.keys = {130};
  TestCall call = Attention(s, 23);
  ExpectConforms(call);
}

TEST(NsaCompressAttention, BadArgumentsAreRefusedByName) {
  const auto refuse = [](const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    ExpectRefusedAfter(Attention({}, 24), change, argument, code);
  };
  using Ints = std::vector<int64_t>;
  refuse(Without("query"), "query", StatusCode::kNullArgument);
  refuse(Without("actual_seq_qlen"), "actual_seq_qlen", StatusCode::kNullArgument);
  refuse(With("head_num", 5), "head_num");
  refuse(Filled("key", DType::kFloat16, {23, 2, 20}, 1), "key");
  refuse(Filled("key", DType::kBFloat16, {23, 2, 21}, 1), "key");
  refuse(Filled("key", DType::kBFloat16, {23, 4, 20}, 1), "value");
  refuse(Filled("value", DType::kBFloat16, {22, 2, 12}, 1), "value");
  refuse(Filled("atten_mask", DType::kBool, {9, 22}, 1), "atten_mask");
  refuse(Filled("atten_mask", DType::kInt32, {9, 23}, 1), "atten_mask");
  refuse(Filled("topk_mask", DType::kBool, {9, 23}, 1), "topk_mask");
  refuse(With("actual_seq_qlen", Ints{8}), "actual_seq_qlen");
  refuse(With("actual_seq_qlen", Ints{10, 9}), "actual_seq_qlen");
  refuse(With("actual_cmp_seq_kvlen", Ints{24}), "actual_cmp_seq_kvlen");
  refuse(With("actual_cmp_seq_kvlen", Ints{3, 23}), "actual_cmp_seq_kvlen");
  refuse(With("actual_cmp_seq_kvlen", Ints{-1}), "actual_cmp_seq_kvlen");
  for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
    refuse(With("compress_stride", bad), "compress_stride");
    refuse(With("select_block_size", bad), "select_block_size");
  }
  refuse(With("compress_block_size", 15), "compress_stride");
  refuse(With("select_block_size", 40), "select_block_size");
  refuse(With("select_block_count", -1), "select_block_count");
  refuse(With("select_block_count", INT64_MAX), "select_block_count");
  refuse(With("scale_value", kInfinity), "scale_value");
}

TEST(NsaCompressAttention, HugeBlocksAreWellDefined) {
  Shape s;
  s.stride = 1;
  s.block = int64_t{1} << 40;
  s.select = int64_t{1} << 39;
  s.count = 2;
  TestCall call = Attention(s, 25);
  ExpectConforms(call);
}

}  // namespace
}  // namespace tamis::test::compressed

// What attention over a sliding window is.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "ops/sliding_window_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::window {
namespace {

TEST(SlidingWindowAttention, AgreesOverRandomLayoutsShapesAndLengths) {
  Random random(201);
  for (int i = 0; i < 80; ++i) {
    Shape s;
    constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.tnd = random.Below(2) == 0;
    s.keys = random.Below(2) == 0 ? Keys::kPaged : s.tnd ? Keys::kTnd : Keys::kBsnd;
    s.kv_heads = random.Between(1, 4);
    s.heads = s.kv_heads * random.Between(1, 20);
    s.dim = random.Between(1, 70);
    s.value_dim = random.Between(1, 70);
    s.window = random.Below(3) == 0 ? random.Between(1, 300) : random.Between(0, 40);
    s.page = random.Between(1, 40);
    s.padding = random.Between(0, 2);
    s.gap = random.Between(0, 1) * 5;
    s.lengths = random.Below(2) == 0 ? DType::kInt32 : DType::kInt64;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Below(2) == 0 ? random.Between(0, 6) : random.Between(0, 90));
      s.n.push_back(random.Between(0, 200));
    }
    if (Prefix(s.n).back() == 0) s.n[0] = 1;
    HideSomeKeys(&s, &random);
    TestCall call = Attention(s, random.Next());
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(SlidingWindowAttention, AWindowOfOneIsTheTokensOwnValue) {
  Shape s;
  s.window = 1;
  s.q = {5};
  s.n = {9};
  TestCall call = Attention(s, 202);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    const TensorView value = call.view("value");
    for (int64_t t = 0; t < 5; ++t) {
      for (int64_t h = 0; h < s.heads; ++h) {
        EXPECT_EQ(call.Got("softmax_sum", t * s.heads + h), 1.0);
        for (int64_t c = 0; c < s.value_dim; ++c) {
          const int64_t row = (4 + t) * s.kv_heads + h / 2;
          EXPECT_EQ(call.Got("attention_out", (t * s.heads + h) * s.value_dim + c),
                    base::LoadAsDouble(value.data, s.dtype, row * s.value_dim + c));
        }
      }
    }
  }
  ExpectConforms(call);
}

// With queries of 0 every e is 1: a mean of positions, exact for windows of powers of two.
TEST(SlidingWindowAttention, AWindowEndsWithTheTokenAndIsCutByTheSequence) {
  Shape s;
  s.window = 4;
  s.heads = s.kv_heads = s.dim = s.value_dim = 1;
  s.q = {8};
  s.n = {8};
  TestCall call = Attention(s, 203);
  call.Tensor("query", s.dtype, {1, 8, 1, 1}, [](int64_t) { return 0.0; });
  call.Tensor("value", s.dtype, {1, 11, 1, 1}, [](int64_t i) { return static_cast<double>(i); });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t t = 0; t < 8; ++t) {
      const double keys = t < 4 ? static_cast<double>(t + 1) : 4.0;
      const double mean = static_cast<double>(t) - (keys - 1) / 2;
      EXPECT_EQ(call.Got("softmax_sum", t), keys);
      EXPECT_EQ(call.Got("softmax_max", t), 0.0);
      EXPECT_NEAR(call.Got("attention_out", t), mean, 0x1p-8 * mean);
    }
    EXPECT_EQ(call.Got("attention_out", 7), 5.5);
  }
  ExpectConforms(call);
}

TEST(SlidingWindowAttention, AWindowPastTheFirstKeyIsCausalAttention) {
  Shape s;
  s.q = {70};
  s.n = {150};
  s.window = 150;
  TestCall all = Attention(s, 204);
  ExpectConforms(all);
  for (int64_t window : {int64_t{151}, int64_t{1} << 31, std::numeric_limits<int64_t>::max()}) {
    s.window = window;
    TestCall longer = Attention(s, 204);
    ExpectSameBytes(all, longer);
  }
  s.window = 149;
  TestCall shorter = Attention(s, 204);
  ASSERT_TRUE(all.Run({}).ok());
  ASSERT_TRUE(shorter.Run({}).ok());
  const int64_t last = 69 * s.heads;
  EXPECT_NE(all.Got("softmax_sum", last), shorter.Got("softmax_sum", last));
  EXPECT_EQ(all.Got("softmax_sum", last - s.heads), shorter.Got("softmax_sum", last - s.heads));
}

TEST(SlidingWindowAttention, MoreQueriesThanKeysLeaveLeadingRowsEmpty) {
  Shape s;
  s.q = {60};
  s.n = {20};
  TestCall call = Attention(s, 205);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t row = 0; row < 40; ++row) ExpectEmptyRow(call, s, row);
    EXPECT_EQ(call.Got("softmax_sum", 40 * s.heads), 1.0);
  }
  ExpectConforms(call);
}

TEST(SlidingWindowAttention, ASequenceWithoutKeysGivesEmptyRows) {
  for (Keys keys : {Keys::kBsnd, Keys::kPaged}) {
    Shape s;
    s.keys = keys;
    s.q = {2, 2};
    s.n = {0, 5};
    TestCall call = Attention(s, 206);
    ASSERT_TRUE(call.Run({}).ok());
    ExpectEmptyRow(call, s, 0);
    ExpectEmptyRow(call, s, 1);
    EXPECT_GE(call.Got("softmax_sum", 2 * s.heads), 1.0);
    ExpectConforms(call);
  }
}

TEST(SlidingWindowAttention, PaddingRowsAreEmpty) {
  for (bool tnd : {false, true}) {
    Shape s;
    s.tnd = tnd;
    s.keys = tnd ? Keys::kTnd : Keys::kBsnd;
    s.q = {2, 1};
    s.n = {9, 7};
    s.padding = 2;
    TestCall call = Attention(s, 207);
    ASSERT_TRUE(call.Run({}).ok());
    for (int64_t row : tnd ? std::vector<int64_t>{3, 4} : std::vector<int64_t>{2, 3, 5, 6, 7})
      ExpectEmptyRow(call, s, row);
    ExpectConforms(call);
  }
}

TEST(SlidingWindowAttention, EqualPrefixSumsAreAnEmptySequence) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.q = {2, 0, 3, 1};
  s.n = {11, 4, 20, 0};
  TestCall call = Attention(s, 208);
  ExpectConforms(call);
}

TEST(SlidingWindowAttention, AnyNumberOfHeadsInGroupsOfAnySize) {
  for (const auto& [heads, kv_heads] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {2, 1}, {3, 3}, {5, 1}, {8, 2}, {9, 3}, {17, 1}, {64, 4}, {65, 1}, {200, 2}}) {
    Shape s;
    s.heads = heads;
    s.kv_heads = kv_heads;
    s.q = {19};
    s.n = {140};
    s.window = 65;
    s.value_dim = 33;
    TestCall call = Attention(s, 209);
    SCOPED_TRACE(heads);
    ExpectConforms(call);
  }
}

TEST(SlidingWindowAttention, BothDtypesAtTheDimsOfModels) {
  const std::pair<int64_t, int64_t> kDims[] = {{192, 128}, {128, 128}, {64, 64}, {576, 512},
                                               {700, 48},  {0, 16},    {16, 0}};
  for (DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    for (const auto& [dim, value_dim] : kDims) {
      Shape s;
      s.dtype = dtype;
      s.dim = dim;
      s.value_dim = value_dim;
      s.heads = 16;
      s.kv_heads = 1;
      s.q = {3};
      s.n = {200};
      s.window = 130;
      TestCall call = Attention(s, 210);
      SCOPED_TRACE(dim);
      ExpectConforms(call);
    }
  }
}

TEST(SlidingWindowAttention, OneLengthServesAllSequences) {
  Shape s;
  s.q = {3, 3};
  s.n = {31, 31};
  s.keys = Keys::kPaged;
  TestCall each = Attention(s, 211);
  TestCall one = Attention(s, 211);
  one.List("actual_seq_lengths_kv", DType::kInt32, {31});
  one.Without("actual_seq_lengths_query");
  ExpectSameBytes(each, one);
}

}  // namespace
}  // namespace tamis::test::window

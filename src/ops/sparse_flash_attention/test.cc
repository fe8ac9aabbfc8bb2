// What attention over selected keys is: the conformance list of the family.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/golden.h"
#include "ops/sparse_flash_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::attention {
namespace {

TEST(SparseFlashAttention, AgreesOverRandomLayoutsShapesAndLengths) {
  Random random(81);
  for (int i = 0; i < 60; ++i) {
    Shape s;
    constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.tnd = random.Below(2) == 0;
    s.keys = random.Below(2) == 0 ? Keys::kPaged : s.tnd ? Keys::kTnd : Keys::kBsnd;
    s.heads = random.Between(1, 40);
    s.latent = random.Between(1, 70);
    s.rope = random.Below(3) == 0 ? -1 : random.Between(1, 20);
    s.page = random.Between(1, 40);
    s.count = random.Between(0, 90);
    s.block = random.Below(2) == 0 ? 1 : random.Between(1, 20);
    s.mode = random.Below(2) == 0 ? 3 : 0;
    s.padding = random.Between(0, 2);
    s.gap = random.Between(0, 1) * 5;
    s.lengths = random.Below(2) == 0 ? DType::kInt32 : DType::kInt64;
    s.value = random.Below(3) == 0;
    s.sinks = random.Below(3) == 0;
    s.statistics = i % 4 < 2;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Between(0, 6));
      s.n.push_back(random.Between(0, 150));
    }
    if (Prefix(s.n).back() == 0) s.n[0] = 1;
    HideSomeKeys(&s, &random);
    CompressSomeKeys(&s, &random);
    AddSomeWindow(&s, &random);
    TestCall call = Attention(s, random.Next());
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// --- the conformance list of the family, line by line

// Line 1. The dense formula is written out here once more.
TEST(SparseFlashAttention, SelectingAllKeysEqualsDenseCausalAttention) {
  Shape s;
  s.q = {5};
  s.n = {9};
  s.count = 16;
  s.heads = 3;
  s.latent = 6;
  s.rope = 2;
  TestCall call = Attention(s, 82);
  std::vector<int64_t> ids(16, -1);
  std::iota(ids.begin(), ids.begin() + 9, 0);
  SetIds(call, {1, 5, 1, 16}, ids);
  ASSERT_TRUE(call.Run({.implementation = Implementation::kReference}).ok());
  const auto at = [&](const char* name, int64_t i) {
    return base::LoadAsDouble(call.view(name).data, s.dtype, i);
  };
  const auto scale = static_cast<double>(0.3f);
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t h = 0; h < 3; ++h) {
      const int64_t row = t * 3 + h;
      std::vector<double> e;
      for (int64_t j = 0; j <= 4 + t; ++j) {
        double dot = 0;
        for (int64_t c = 0; c < 6; ++c) dot += at("query", row * 6 + c) * at("key", j * 6 + c);
        for (int64_t c = 0; c < 2; ++c)
          dot += at("query_rope", row * 2 + c) * at("key_rope", j * 2 + c);
        e.push_back(std::exp(scale * dot));
      }
      const double sum = std::accumulate(e.begin(), e.end(), 0.0);
      for (int64_t c = 0; c < 6; ++c) {
        double want = 0;
        for (size_t j = 0; j < e.size(); ++j)
          want += e[j] / sum * at("key", static_cast<int64_t>(j) * 6 + c);
        EXPECT_NEAR(call.Got("out", row * 6 + c), want, base::RoundingBound(s.dtype, want) + 1e-13);
      }
    }
  }
  ExpectConforms(call);
}

// Line 2.
TEST(SparseFlashAttention, ANegativeIdEndsTheListWhateverFollows) {
  Shape s;
  s.q = {1};
  s.count = 6;
  TestCall ended = Attention(s, 83);
  SetIds(ended, {1, 1, 1, 6}, {7, 3, -1, 4, 5, 6});
  TestCall suffix = Attention(s, 83);
  SetIds(suffix, {1, 1, 1, 6}, {7, 3, kIntMin, -1, -1, -1});
  TestCall two = Attention(s, 83);
  SetIds(two, {1, 1, 1, 2}, {7, 3});
  ExpectSameBytes(ended, suffix);
  ExpectSameBytes(ended, two);
  ExpectConforms(ended);
}

TEST(SparseFlashAttention, AListThatBeginsWithMinusOneGivesAnEmptyRow) {
  Shape s;
  s.q = {2};
  TestCall call = Attention(s, 84);
  SetIds(call, {1, 2, 1, 2}, {-1, 5, 5, -1});
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    ExpectEmptyRow(call, s, 0);
    EXPECT_GE(call.Got("softmax_sum", s.heads), 1.0);
  }
  ExpectConforms(call);
}

// Line 3: of 10 keys, token 0 of 4 sees 7 in mode 3.
TEST(SparseFlashAttention, IdsPastTheDiagonalAreSkippedInMode3AndUsedInMode0) {
  Shape s;
  s.q = {4};
  s.n = {10};
  s.count = 4;
  TestCall call = Attention(s, 85);
  SetIds(call, {1, 4, 1, 4}, {8, 2, 10, 4});  // 8 is visible to tokens 2 and 3 only, 10 to none
  TestCall seen = Attention(s, 85);
  SetIds(seen, {1, 4, 1, 4}, {2, 4, -1, -1});
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    ASSERT_TRUE(seen.Run({.level = level}).ok());
    for (int64_t i = 0; i < 2 * s.heads * s.latent; ++i) {  // tokens 0 and 1
      EXPECT_EQ(call.Got("out", i), seen.Got("out", i));
    }
    EXPECT_NE(call.Got("softmax_sum", 3 * s.heads), seen.Got("softmax_sum", 3 * s.heads));
  }
  ExpectConforms(call);
  call.Set("sparse_mode", 0);
  seen.Set("sparse_mode", 0);
  SetIds(seen, {1, 4, 1, 4}, {8, 2, 4, -1});
  ExpectSameBytes(call, seen);
  ExpectConforms(call);
}

TEST(SparseFlashAttention, OnlyAsManyIdsAsThereAreVisibleBlocksAreLookedAt) {
  Shape s;
  s.q = {1};
  s.n = {3};
  TestCall call = Attention(s, 86);
  SetIds(call, {1, 1, 1, 5}, {9, 9, 1, 0, 2});  // three keys: the first three ids
  TestCall one = Attention(s, 86);
  SetIds(one, {1, 1, 1, 1}, {1});
  ExpectSameBytes(call, one);
  ExpectConforms(call);
}

// Line 4: with queries of 0 every e is 1, and everything is exact.
TEST(SparseFlashAttention, IdsNamedTwiceCountTwice) {
  Shape s;
  s.q = {1};
  s.n = {8};
  s.heads = 1;
  s.latent = 1;
  s.rope = -1;
  TestCall call = Attention(s, 87);
  call.Tensor("query", s.dtype, {1, 1, 1, 1}, [](int64_t) { return 0.0; });
  call.Tensor("key", s.dtype, {1, 11, 1, 1}, [](int64_t i) { return static_cast<double>(i); });
  SetIds(call, {1, 1, 1, 4}, {3, 7, 3, 3});
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.Got("softmax_sum", 0), 4.0);
    EXPECT_EQ(call.Got("softmax_max", 0), 0.0);
    EXPECT_EQ(call.Got("out", 0), 4.0);
  }
}

// Line 5.
TEST(SparseFlashAttention, BlocksAreCutByTheDiagonalAndTheEnd) {
  for (int64_t block : {4, 16}) {
    for (int64_t mode : {0, 3}) {
      Shape s;
      s.block = block;
      s.mode = mode;
      s.q = {7};
      s.n = {37};
      s.count = 12;
      s.keys = Keys::kPaged;
      TestCall call = Attention(s, 88);
      std::vector<int64_t> ids =
          block == 4 ? std::vector<int64_t>{9, 8, 0, 7} : std::vector<int64_t>{1, 0, 2};
      SetIds(call, {1, 7, 1, static_cast<int64_t>(ids.size())}, ids);
      SCOPED_TRACE("blocks of " + std::to_string(block) + ", mode " + std::to_string(mode));
      ExpectConforms(call);
      // The same positions one by one.
      std::vector<int64_t> positions;
      for (int64_t id : ids) {
        for (int64_t i = 0; i < block; ++i) positions.push_back(id * block + i);
      }
      // As many ids are looked at as positions are visible: those must come first.
      std::sort(positions.begin(), positions.end());
      TestCall single = Attention(s, 88);
      single.Set("sparse_block_size", 1);
      SetIds(single, {1, 7, 1, static_cast<int64_t>(positions.size())}, positions);
      ASSERT_TRUE(call.Run({}).ok());
      ASSERT_TRUE(single.Run({}).ok());
      for (int64_t i = 0; i < 7 * s.heads; ++i) {
        EXPECT_NEAR(call.Got("softmax_sum", i), single.Got("softmax_sum", i),
                    base::Fp32SumBound(40, call.Got("softmax_sum", i)));
      }
    }
  }
}

TEST(SparseFlashAttention, BlocksMayStraddlePagesAndExceedAnySequence) {
  Shape s;
  s.keys = Keys::kPaged;
  s.page = 10;
  s.q = {2};
  s.n = {95};
  for (int64_t block : {7, 64, 1000}) {
    s.block = block;
    TestCall call = Attention(s, 89);
    ExpectConforms(call);
  }
  TestCall call = Attention(s, 89);
  call.Set("sparse_block_size", std::numeric_limits<int64_t>::max());
  SetIds(call, {1, 2, 1, 2}, {0, 1});
  ExpectConforms(call);
}

// A page whose rows all lie in one place: a view may say so.
TEST(SparseFlashAttention, PagesMayBeLongerThanAnySequence) {
  for (int64_t page : {int64_t{1} << 31, int64_t{1} << 32, (int64_t{1} << 32) + 1}) {
    Shape s;
    s.keys = Keys::kPaged;
    s.rope = -1;
    s.q = {1};
    TestCall call = Attention(s, 117);
    call.Tensor("key", s.dtype, {1, 1, 1, s.latent},
                [](int64_t i) { return 0.25 * static_cast<double>(i); });
    TensorView key = call.view("key");
    key.shape[1] = page;
    key.strides[0] = key.strides[1] = 0;
    call.View("key", key);
    call.Tensor("block_table", DType::kInt32, {1, 1}, [](int64_t) { return 0.0; });
    SetIds(call, {1, 1, 1, 3}, {7, 39, 12});
    ExpectConforms(call);
    EXPECT_EQ(call.Got("out", 1), 0.25);
  }
}

// Line 6.
TEST(SparseFlashAttention, MoreQueriesThanKeysLeaveLeadingRowsEmpty) {
  Shape s;
  s.q = {6};
  s.n = {2};
  TestCall call = Attention(s, 90);
  SetIds(call, {1, 6, 1, 2}, {0, 1});
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t row = 0; row < 4; ++row) ExpectEmptyRow(call, s, row);
    EXPECT_EQ(call.Got("softmax_sum", 4 * s.heads), 1.0);
  }
  ExpectConforms(call);
}

// Line 7.
TEST(SparseFlashAttention, ASequenceWithoutKeysGivesEmptyRows) {
  for (Keys keys : {Keys::kBsnd, Keys::kPaged}) {
    Shape s;
    s.keys = keys;
    s.q = {2, 2};
    s.n = {0, 5};
    s.mode = 0;
    TestCall call = Attention(s, 91);
    SetIds(call, {2, 2, 1, 2}, {0, 1});
    ASSERT_TRUE(call.Run({}).ok());
    ExpectEmptyRow(call, s, 0);
    ExpectEmptyRow(call, s, 1);
    EXPECT_GE(call.Got("softmax_sum", 2 * s.heads), 1.0);
    ExpectConforms(call);
  }
}

// Line 8. Padding is not a query: sinks do not reach it.
TEST(SparseFlashAttention, PaddingRowsAreEmpty) {
  for (bool sinks : {false, true}) {
    for (bool tnd : {false, true}) {
      Shape s;
      s.tnd = tnd;
      s.keys = tnd ? Keys::kTnd : Keys::kBsnd;
      s.q = {2, 1};
      s.n = {9, 7};
      s.padding = 2;
      s.sinks = sinks;
      TestCall call = Attention(s, 92);
      ASSERT_TRUE(call.Run({}).ok());
      for (int64_t row : tnd ? std::vector<int64_t>{3, 4} : std::vector<int64_t>{2, 3, 5, 6, 7})
        ExpectEmptyRow(call, s, row);
      ExpectConforms(call);
    }
  }
}

// Line 9.
TEST(SparseFlashAttention, EqualPrefixSumsAreAnEmptySequence) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.q = {2, 0, 3};
  s.n = {11, 4, 20};
  TestCall call = Attention(s, 93);
  ExpectConforms(call);
  s.n = {11, 0, 20};
  s.q = {2, 1, 3};
  TestCall without_keys = Attention(s, 94);
  ExpectConforms(without_keys);
}

// Line 10: keys that are not selected hold NaN, and so do spare pages.
TEST(SparseFlashAttention, ReadsSelectedRowsOnlyThroughRandomPages) {
  for (int64_t page : {16, 128, 256, 1024}) {
    Shape s;
    s.tnd = true;
    s.keys = Keys::kPaged;
    s.page = page;
    s.q = {1, 2};
    s.n = {page + 7, 3 * page - 1};
    TestCall call = Attention(s, 95);
    std::vector<int64_t> ids = {page + 6, 0, page - 1, page, 3, 5};
    SetIds(call, {3, 1, 6}, ids);
    const TensorView key = call.view("key");
    const TensorView rope = call.view("key_rope");
    const TensorView table = call.view("block_table");
    std::vector<char> selected(static_cast<size_t>(key.shape[0] * page), 0);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t id : ids) {
        const auto entry = static_cast<int64_t>(
            base::LoadAsDouble(table.data, DType::kInt32, b * table.strides[0] + id / page));
        selected[static_cast<size_t>(entry * page + id % page)] = 1;
      }
    }
    for (int64_t row = 0; row < key.shape[0] * page; ++row) {
      if (selected[static_cast<size_t>(row)] != 0) continue;
      for (int64_t c = 0; c < s.latent; ++c)
        base::StoreDouble(key.data, s.dtype, row * s.latent + c, NAN);
      for (int64_t c = 0; c < s.rope; ++c)
        base::StoreDouble(rope.data, s.dtype, row * s.rope + c, NAN);
    }
    ASSERT_TRUE(call.Run({}).ok());
    for (int64_t i = 0; i < call.OutputElems("out"); ++i)
      EXPECT_TRUE(std::isfinite(call.Got("out", i)));
    ExpectConforms(call);
  }
}

// Line 11.
TEST(SparseFlashAttention, OneLengthServesAllSequences) {
  Shape s;
  s.q = {3, 3};
  s.n = {31, 31};
  s.keys = Keys::kPaged;
  TestCall each = Attention(s, 96);
  TestCall one = Attention(s, 96);
  one.List("actual_seq_lengths_kv", DType::kInt32, {31});
  one.Without("actual_seq_lengths_query");
  ExpectSameBytes(each, one);
}

// Line 12, and past it: several blocks of heads.
TEST(SparseFlashAttention, AnyNumberOfHeads) {
  for (int64_t heads :
       {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 64, 100, 128, 129, 300}) {
    Shape s;
    s.heads = heads;
    s.n = {140};
    s.count = 130;
    s.latent = 33;
    for (const bool statistics : {true, false}) {
      s.statistics = statistics;
      TestCall call = Attention(s, 97);
      SCOPED_TRACE(heads);
      ExpectConforms(call);
    }
  }
}

// Line 13, at the dims that models have.
TEST(SparseFlashAttention, BothDtypesAtTheDimsOfModels) {
  const std::pair<int64_t, int64_t> kDims[] = {{512, 64}, {512, -1}, {128, 64}, {512, 0}, {0, 64}};
  for (DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    for (const auto& [latent, rope] : kDims) {
      Shape s;
      s.dtype = dtype;
      s.latent = latent;
      s.rope = rope;
      s.heads = 16;
      s.q = {2};
      s.n = {200};
      s.count = 150;
      for (const bool statistics : {true, false}) {
        s.statistics = statistics;
        TestCall call = Attention(s, 98);
        ExpectConforms(call);
      }
    }
  }
}

// Line 14. The halves of a selection, merged by hand in float64.
TEST(SparseFlashAttention, StatesOfTwoHalvesMergeIntoTheWhole) {
  Shape s;
  s.dtype = DType::kFloat16;
  s.q = {1};
  s.n = {60};
  s.mode = 0;
  std::vector<int64_t> ids(40);
  std::iota(ids.begin(), ids.end(), 11);
  const auto part = [&](size_t from, size_t to) {
    TestCall call = Attention(s, 99);
    SetIds(call, {1, 1, 1, static_cast<int64_t>(to - from)},
           std::vector<int64_t>(ids.begin() + static_cast<int64_t>(from),
                                ids.begin() + static_cast<int64_t>(to)));
    EXPECT_TRUE(call.Run({.implementation = Implementation::kReference}).ok());
    return call;
  };
  TestCall whole = part(0, 40);
  TestCall left = part(0, 13);
  TestCall right = part(13, 40);
  for (int64_t h = 0; h < s.heads; ++h) {
    const auto lse = [&](const TestCall& c) {
      return c.Got("softmax_max", h) + std::log(c.Got("softmax_sum", h));
    };
    const double total = std::log(std::exp(lse(left)) + std::exp(lse(right)));
    const double statistics = 8 * 0x1p-24 * (1 + std::fabs(total));  // four values of fp32
    EXPECT_NEAR(lse(whole), total, statistics);
    const double l = std::exp(lse(left) - total);
    const double r = std::exp(lse(right) - total);
    for (int64_t c = 0; c < s.latent; ++c) {
      const int64_t i = h * s.latent + c;
      const double a = left.Got("out", i);
      const double b = right.Got("out", i);
      const double rounding = l * base::RoundingBound(s.dtype, a) +
                              r * base::RoundingBound(s.dtype, b) +
                              base::RoundingBound(s.dtype, l * a + r * b);
      EXPECT_NEAR(whole.Got("out", i), l * a + r * b,
                  rounding + statistics * (std::fabs(l * a) + std::fabs(r * b)));
    }
  }
  for (TestCall* call : {&whole, &left, &right}) ExpectConforms(*call);  // every level's states too
}

TEST(SparseFlashAttention, StatisticsAreOptional) {
  Shape s;
  TestCall call = Attention(s, 100);
  call.Set("return_softmax_lse", false);
  const auto without = call.Run({});
  ASSERT_TRUE(without.ok()) << without.status().message();
  EXPECT_EQ(without->size(), 1u);
  ExpectConforms(call);
  call.Set("return_softmax_lse", true).Omit("softmax_sum");
  ExpectConforms(call);
}

// Line 15.
TEST(SparseFlashAttention, SinksJoinTheSoftmaxWithoutAValue) {
  Shape s;
  s.q = {2};
  s.n = {30};
  s.sinks = true;
  TestCall call = Attention(s, 101);
  SetIds(call, {1, 2, 1, 3}, {5, 6, 7, -1, 0, 0});
  call.Tensor("sinks", DType::kFloat32, {s.heads}, [](int64_t h) {
    return h == 0 ? 50.0 : h == 1 ? -kInfinity : 0.25;
  });
  TestCall without = Attention(s, 101);
  SetIds(without, {1, 2, 1, 3}, {5, 6, 7, -1, 0, 0});
  without.Without("sinks");
  ASSERT_TRUE(call.Run({}).ok());
  ASSERT_TRUE(without.Run({}).ok());
  EXPECT_EQ(call.Got("softmax_max", 0), 50.0);
  EXPECT_EQ(call.Got("softmax_sum", 1), without.Got("softmax_sum", 1));  // a sink of -inf: none
  EXPECT_EQ(call.Got("out", s.latent), without.Got("out", s.latent));
  for (int64_t h = 0; h < s.heads; ++h) {  // token 1 has no key
    EXPECT_EQ(call.Got("softmax_max", s.heads + h), h == 0 ? 50.0 : h == 1 ? -kInfinity : 0.25);
    EXPECT_EQ(call.Got("softmax_sum", s.heads + h), 1.0);
    EXPECT_EQ(call.Got("out", (s.heads + h) * s.latent), 0.0);
  }
  ExpectConforms(call);
}

}  // namespace
}  // namespace tamis::test::attention

// What must hold beside the formula: what is outside of a window, infinities, empty and strided
// tensors, bits that do not depend on the rest of the call, workspace, refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/sliding_window_attention/test_calls.h"
#include "tamis/ops/sliding_window_attention.hpp"
#include "tests/support/levels.h"

namespace tamis::test::window {
namespace {

// A key or value that is no number reaches the tokens whose window holds it; the rows of all others
// keep their bits.
TEST(SlidingWindowAttention, WhatIsOutsideOfAWindowDoesNotTouchItsRow) {
  struct Spoilt {
    const char* tensor;
    double value;
  };
  for (const Spoilt& spoilt : {Spoilt{"key", NAN}, Spoilt{"value", NAN}, Spoilt{"value", kInfinity},
                               Spoilt{"value", -kInfinity}}) {
    for (int64_t group : {1, 3, 16}) {
      Shape s;
      s.kv_heads = 1;
      s.heads = group;
      s.dim = s.value_dim = 20;
      s.window = 9;
      s.q = {70};
      s.n = {150};
      TestCall clean = Attention(s, 212);
      TestCall call = Attention(s, 212);
      const int64_t position = 128;
      base::StoreDouble(call.view(spoilt.tensor).data, s.dtype, position * 20 + 17, spoilt.value);
      SCOPED_TRACE(std::string(spoilt.tensor) + ", group " + std::to_string(group));
      for (Level level : TestedLevels()) {
        ASSERT_TRUE(clean.Run({.level = level}).ok());
        ASSERT_TRUE(call.Run({.level = level}).ok());
        for (int64_t t = 0; t < 70; ++t) {
          const int64_t own = 80 + t;
          const bool seen = position > own - s.window && position <= own;
          for (int64_t i = t * s.heads * 20; i < (t + 1) * s.heads * 20; ++i) {
            const double got = call.Got("attention_out", i);
            if (seen && (spoilt.tensor == std::string("key") || i % 20 == 17)) {
              EXPECT_FALSE(std::isfinite(got)) << "token " << t;
            } else {
              EXPECT_EQ(got, clean.Got("attention_out", i)) << "token " << t;
            }
          }
        }
      }
      ExpectConforms(call);
    }
  }
}

// Caches may give pages back whose keys have left every window.
TEST(SlidingWindowAttention, PagesBeforeTheWindowsAreNotReadNorAreTheirEntries) {
  Shape s;
  s.keys = Keys::kPaged;
  s.page = 16;
  s.q = {3, 1};
  s.n = {100, 40};
  s.window = 20;  // positions from 78 and from 20 on
  TestCall whole = Attention(s, 213);
  TestCall call = Attention(s, 213);
  const TensorView table = call.view("block_table");
  auto* entries = static_cast<int32_t*>(table.data);
  for (int64_t i = 0; i < 4; ++i) entries[i] = i % 2 == 0 ? -1 : INT32_MAX;
  entries[table.strides[0]] = INT32_MIN;
  ExpectSameBytes(whole, call);
  ExpectConforms(call);
  entries[4] = -1;  // holds position 78
  ExpectRefused(call, StatusCode::kInvalidArgument, "block_table[0, 4]");
}

TEST(SlidingWindowAttention, ScoresOfMinusInfinityOnlyGiveNan) {
  for (double sign : {-1.0, 1.0}) {
    Shape s;
    s.heads = s.kv_heads = s.dim = 1;
    s.q = {3};
    s.n = {3};
    s.window = 2;
    TestCall call = Attention(s, 214);
    call.Tensor("query", s.dtype, {1, 3, 1, 1}, [](int64_t) { return 1.0; });
    // Token 0 sees an infinite score alone, token 1 and a finite one, token 2 finite ones.
    call.Tensor("key", s.dtype, {1, 6, 1, 1},
                [=](int64_t i) { return i == 0 ? sign * kInfinity : 0.0; });
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      EXPECT_TRUE(std::isnan(call.Got("attention_out", 0)));
      EXPECT_TRUE(std::isnan(call.Got("softmax_max", 0)));
      EXPECT_TRUE(std::isnan(call.Got("softmax_sum", 0)));
      EXPECT_EQ(std::isnan(call.Got("attention_out", s.value_dim)), sign > 0);
      EXPECT_EQ(call.Got("softmax_sum", 2), 2.0);
    }
    ExpectConforms(call);
  }
}

// A prefill's row, a step of several tokens and a single one, packed or in pages.
TEST(SlidingWindowAttention, ARowGivesTheSameBitsAloneAndAmongMany) {
  for (int64_t window : {3, 50, 200}) {
    Shape s;
    s.tnd = true;
    s.keys = Keys::kTnd;
    s.heads = 6;
    s.q = {90};
    s.n = {170};
    s.window = window;
    TestCall all = Attention(s, 215);
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(all.Run({.level = level}).ok());
      for (int64_t row : {0, 13, 88}) {
        for (int64_t count : {1, 2}) {
          TestCall part = Attention(s, 215);
          TensorView query = part.view("query");
          query.data = static_cast<char*>(query.data) + row * query.strides[0] * 2;
          query.shape[0] = count;
          part.View("query", query);
          part.List("actual_seq_lengths_query", DType::kInt32, {count});
          part.List("actual_seq_lengths_kv", DType::kInt32, {80 + row + count});
          ASSERT_TRUE(part.Run({.level = level}).ok());
          for (int64_t i = 0; i < count * s.heads * s.value_dim; ++i)
            ASSERT_EQ(part.Got("attention_out", i),
                      all.Got("attention_out", row * s.heads * s.value_dim + i));
          for (int64_t h = 0; h < count * s.heads; ++h) {
            ASSERT_EQ(part.Got("softmax_max", h), all.Got("softmax_max", row * s.heads + h));
            ASSERT_EQ(part.Got("softmax_sum", h), all.Got("softmax_sum", row * s.heads + h));
          }
        }
      }
    }
  }
}

TEST(SlidingWindowAttention, PagingChangesNoBit) {
  Shape s;
  s.q = {20};
  s.n = {90};
  s.window = 40;
  TestCall dense = Attention(s, 216);
  for (int64_t page : {1, 7, 64}) {
    TestCall paged = Attention(s, 216);
    const int64_t count = (93 + page - 1) / page;
    for (const char* name : {"key", "value"}) {
      const TensorView rows = dense.view(name);
      const int64_t width = rows.strides[1];
      paged.Tensor(name, s.dtype, {count, page, s.kv_heads, rows.shape[3]}, [&](int64_t i) {
        const int64_t row = (count - 1 - i / (width * page)) * page + i / width % page;
        return row < 93 ? base::LoadAsDouble(rows.data, s.dtype, row * width + i % width) : NAN;
      });
    }
    paged.Set("layout_kv", "PA_BSND");
    paged.Tensor("block_table", DType::kInt32, {1, count},
                 [&](int64_t i) { return static_cast<double>(count - 1 - i); });
    ExpectSameBytes(dense, paged);
  }
}

TEST(SlidingWindowAttention, PagesMayBeLongerThanAnySequence) {
  for (int64_t page : {int64_t{1} << 31, int64_t{1} << 32, (int64_t{1} << 32) + 1}) {
    Shape s;
    s.keys = Keys::kPaged;
    s.kv_heads = 1;
    s.q = {1};
    TestCall call = Attention(s, 217);
    for (const char* name : {"key", "value"}) {
      const int64_t dim = call.view(name).shape[3];
      call.Tensor(name, s.dtype, {1, 1, 1, dim},
                  [](int64_t i) { return 0.25 * static_cast<double>(i); });
      TensorView view = call.view(name);
      view.shape[1] = page;
      view.strides[0] = view.strides[1] = 0;
      call.View(name, view);
    }
    call.Tensor("block_table", DType::kInt32, {1, 1}, [](int64_t) { return 0.0; });
    ExpectConforms(call);
    EXPECT_EQ(call.Got("attention_out", 1), 0.25);
  }
}

TEST(SlidingWindowAttention, EmptySizesAreFine) {
  const auto run = [](const Shape& s, const char* what) {
    SCOPED_TRACE(what);
    TestCall call = Attention(s, 218);
    ExpectConforms(call);
  };
  Shape s;
  s.q = {0};
  run(s, "S1 = 0");
  s = {};
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.q = {0, 0};
  s.n = {3, 4};
  run(s, "T1 = 0");
  s.n = {0, 0};
  run(s, "T2 = 0");
  s = {};
  TestCall no_batch = Attention(s, 218);
  no_batch.Tensor("query", s.dtype, {0, 3, 4, 16}, [](int64_t) { return 0.0; })
      .Tensor("key", s.dtype, {0, 9, 2, 16}, [](int64_t) { return 0.0; })
      .Tensor("value", s.dtype, {0, 9, 2, 12}, [](int64_t) { return 0.0; })
      .Without("actual_seq_lengths_query")
      .Without("actual_seq_lengths_kv");
  ExpectConforms(no_batch);
}

TEST(SlidingWindowAttention, StridedInputsAndOutputs) {
  for (Keys keys : {Keys::kBsnd, Keys::kPaged}) {
    Shape s;
    s.keys = keys;
    s.gap = 3;
    s.q = {2, 30};
    s.n = {30, 44};
    TestCall call = Attention(s, 219);
    call.OutputGap(2);
    ExpectConforms(call);
  }
}

TEST(SlidingWindowAttention, StatisticsMayBeLeftOut) {
  Shape s;
  TestCall call = Attention(s, 220);
  const auto with = call.Run({});
  ASSERT_TRUE(with.ok());
  for (const char* name : {"softmax_max", "softmax_sum"}) {
    TestCall without = Attention(s, 220);
    without.Omit(name);
    ExpectConforms(without);
    const auto outputs = without.Run({});
    ASSERT_TRUE(outputs.ok());
    EXPECT_EQ(outputs->at("attention_out"), with->at("attention_out"));
  }
}

TEST(SlidingWindowAttention, StrictChangesNothing) {
  Shape s;
  TestCall wide = Attention(s, 221);
  TestCall strict = Attention(s, 221);
  strict.Set("strict", true);
  ExpectSameBytes(wide, strict);
}

TEST(SlidingWindowAttention, CostCountsTheKeysOfTheWindows) {
  Shape s;
  s.q = {4};
  s.n = {3};
  s.window = 2;
  TestCall call = Attention(s, 222);  // tokens see 0, 1, 2 and 2 keys
  auto with_outputs = call.WithOutputs();
  ASSERT_TRUE(with_outputs.ok());
  const auto plan = with_outputs->MakePlan({});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->cost().flops, 2.0 * 5 * 4 * (16 + 12));
  EXPECT_EQ(plan->cost().read_bytes, 2.0 * (3 * 2 * (16 + 12) + 4 * 4 * 16));
  EXPECT_EQ(plan->cost().write_bytes, 4.0 * 4 * (2 * 12 + 4 + 4));
}

// The formula of the README.
TEST(SlidingWindowAttention, TheWorkspaceIsTheFormulas) {
  const auto up = [](int64_t a) { return (a + 15) / 16 * 16; };
  struct Case {
    int64_t tokens, heads, kv_heads, window, rows, copies;
  };
  for (const Case& c :
       {Case{1, 64, 4, 512, 16, 2}, Case{100, 64, 4, 512, 64, 1}, Case{100, 5, 1, 9, 45, 1},
        Case{100, 5, 1, 2, 20, 1}, Case{100, 2, 2, 1, 16, 1}, Case{3, 300, 2, 9, 150, 1}}) {
    Shape s;
    s.heads = c.heads;
    s.kv_heads = c.kv_heads;
    s.window = c.window;
    s.q = {c.tokens};
    s.n = {200};
    TestCall call = Attention(s, 223);
    auto with_outputs = call.WithOutputs();
    ASSERT_TRUE(with_outputs.ok());
    const auto plan = with_outputs->MakePlan({.threads = 1});
    ASSERT_TRUE(plan.ok());
    const int64_t r = up(c.rows);
    const int64_t tokens = c.rows / (c.heads / c.kv_heads);
    const int64_t value = 64 * (r <= 16 ? 16 : 32);
    EXPECT_EQ(plan->workspace_bytes(), 4 * (r * (16 + 64 + 16 + 3) + c.copies * (64 * 208 + value) +
                                            up(4 * tokens) + up((tokens + 3) / 4)))
        << c.heads << " heads, window " << c.window;
  }
}

TEST(SlidingWindowAttention, BadArgumentsAreRefusedByName) {
  const auto refuse = [](Shape s, const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    s.q = {3, 2};
    s.n = {40, 17};
    ExpectRefusedAfter(Attention(s, 224), change, argument, code);
  };
  constexpr auto kNull = StatusCode::kNullArgument;
  Shape bsnd;
  Shape tnd;
  tnd.tnd = true;
  tnd.keys = Keys::kTnd;
  Shape paged;
  paged.keys = Keys::kPaged;

  for (const char* name : {"query", "key", "value", "scale_value", "window_size"})
    refuse(bsnd, Without(name), name, kNull);
  refuse(bsnd, With("window_size", -1), "window_size");
  refuse(bsnd, With("window_size", std::numeric_limits<int64_t>::min()), "window_size");
  refuse(bsnd, With("layout_kv", "TND"), "key");
  refuse(bsnd, Filled("query", DType::kInt32, {2, 3, 4, 16}), "query");
  refuse(bsnd, Filled("query", DType::kBFloat16, {2, 3, 0, 16}), "query");
  refuse(bsnd, Filled("query", DType::kBFloat16, {2, 3, 5, 16}), "key");
  refuse(bsnd, Filled("key", DType::kFloat16, {2, 43, 2, 16}), "key");
  refuse(bsnd, Filled("key", DType::kBFloat16, {2, 43, 2, 15}), "key");
  refuse(bsnd, Filled("key", DType::kBFloat16, {3, 43, 2, 16}), "value");
  refuse(bsnd, Filled("value", DType::kFloat16, {2, 43, 2, 12}), "value");
  refuse(bsnd, Filled("value", DType::kBFloat16, {2, 42, 2, 12}), "value");
  refuse(bsnd, Filled("value", DType::kBFloat16, {2, 43, 1, 12}), "value");
  refuse(bsnd, Filled("block_table", DType::kInt32, {2, 3}), "block_table");
  refuse(
      bsnd,
      [](TestCall& c) {
        Filled("key", DType::kBFloat16, {2, 43, 0, 16})(c);
        Filled("value", DType::kBFloat16, {2, 43, 0, 12})(c);
      },
      "key");
  refuse(bsnd, Listed("actual_seq_lengths_query", DType::kInt64, {4, 1}),
         "actual_seq_lengths_query[0]");
  refuse(bsnd, Listed("actual_seq_lengths_kv", DType::kInt64, {44, 1}), "actual_seq_lengths_kv[0]");

  refuse(tnd, Without("actual_seq_lengths_query"), "actual_seq_lengths_query", kNull);
  refuse(tnd, Without("actual_seq_lengths_kv"), "actual_seq_lengths_kv", kNull);
  refuse(tnd, Listed("actual_seq_lengths_query", DType::kInt64, {3, 2}),
         "actual_seq_lengths_query[1]");
  refuse(tnd, Listed("actual_seq_lengths_kv", DType::kInt64, {40, 58}), "actual_seq_lengths_kv[1]");

  refuse(paged, Without("block_table"), "block_table", kNull);
  refuse(paged, Without("actual_seq_lengths_kv"), "actual_seq_lengths_kv", kNull);
  refuse(paged, Listed("actual_seq_lengths_kv", DType::kInt64, {int64_t{1} << 40, 1}),
         "block_table");
  for (double entry : {-1.0, 7.0, 2147483647.0, -2147483648.0}) {  // the cache has 7 pages
    refuse(
        paged,
        [=](TestCall& c) {
          c.Tensor("block_table", DType::kInt32, {2, 4},
                   [=](int64_t i) { return i == 5 ? entry : 0.0; });
        },
        "block_table[1, 1]");
  }
}

}  // namespace
}  // namespace tamis::test::window

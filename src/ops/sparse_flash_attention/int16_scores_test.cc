// Scores in 16-bit integers: where they are used, where they are not, and what they may not do.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <utility>
#include <vector>

#include "base/golden.h"
#include "ops/sparse_flash_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::attention {
namespace {

Shape Decode(bool statistics) {
  Shape s;
  s.dtype = DType::kFloat16;
  s.heads = 16;
  s.latent = 128;
  s.rope = 64;
  s.q = {1};
  s.n = {1400};
  s.count = 1400;
  s.mode = 0;
  s.statistics = statistics;
  return s;
}

// A call that selects all keys in order. `factor` multiplies key k.
TestCall Scaled(bool statistics, double scale, const std::function<double(int64_t k)>& factor) {
  const Shape s = Decode(statistics);
  TestCall call = Attention(s, 311);
  SelectInOrder(call, s.count);
  call.Set("scale_value", scale);
  for (const auto& [name, dim] : {std::pair{"key", s.latent}, std::pair{"key_rope", s.rope}}) {
    for (int64_t i = 0; i < s.count * dim; ++i) {
      void* data = call.view(name).data;
      base::StoreDouble(data, s.dtype, i, base::LoadAsDouble(data, s.dtype, i) * factor(i / dim));
    }
  }
  return call;
}

// Whether the call's output differs from that of the same scores in fp32, at a level.
bool UsesIntegers(double scale, const std::function<double(int64_t k)>& factor, Level level) {
  TestCall with = Scaled(true, scale, factor);
  TestCall without = Scaled(false, scale, factor);
  EXPECT_TRUE(with.Run({.level = level}).ok());
  EXPECT_TRUE(without.Run({.level = level}).ok());
  for (int64_t i = 0; i < 16 * 128; ++i) {
    const double a = with.Got("out", i);
    const double b = without.Got("out", i);
    if (a != b && !(std::isnan(a) && std::isnan(b))) return true;
  }
  return false;
}

std::vector<Level> LevelsOfIntegers() {
  std::vector<Level> levels = {Level::kScalar};
  for (Level level : TestedLevels()) {
    if (level == Level::kAvx2Vnni || level == Level::kAvx512Vnni) levels.push_back(level);
  }
  return levels;
}

double One(int64_t) { return 1; }

TEST(Int16Scores, AreUsedUnlessTheyWouldMoveScoresTooFar) {
  // 192 dims, norms of 14: a step is 1 / 2048, the deviation 0.0028 times the scale.
  for (Level level : LevelsOfIntegers()) {
    EXPECT_TRUE(UsesIntegers(0.07, One, level));
    EXPECT_FALSE(UsesIntegers(4.0, One, level));
    // A tile with one large key; its segment is not tried again, the next one is.
    EXPECT_TRUE(UsesIntegers(
        0.07, [](int64_t k) { return k == 3 ? 512.0 : 1.0; }, level));
    // One such key in every segment's first tile.
    EXPECT_FALSE(UsesIntegers(
        0.07, [](int64_t k) { return k % 512 == 3 ? 512.0 : 1.0; }, level));
  }
}

// With statistics, without them but with scores in fp32: the same bits.
TEST(Int16Scores, AreNotUsedWhereStatisticsAreWantedOrAccuracySaysSo) {
  const std::pair<const char*, const char*> cases[] = {
      {"fp32", "fp32"}, {"fp32_scores", "storage"}, {"fp32_scores", "fp32_scores"}};
  for (Level level : LevelsOfIntegers()) {
    for (const auto& [without, with] : cases) {
      TestCall call = Scaled(false, 0.07, One);
      TestCall exact = Scaled(true, 0.07, One);
      call.Set("accuracy", without);
      exact.Set("accuracy", with);
      ASSERT_TRUE(call.Run({.level = level}).ok() && exact.Run({.level = level}).ok());
      for (int64_t i = 0; i < 16 * 128; ++i) ASSERT_EQ(call.Got("out", i), exact.Got("out", i));
    }
  }
}

TEST(Int16Scores, ConformWhateverTheKeys) {
  const std::function<double(int64_t)> factors[] = {
      One,
      [](int64_t k) { return std::exp2(static_cast<double>(k % 15) - 7); },
      [](int64_t k) { return k % 3 == 0 ? 0.0 : 1.0; },
      [](int64_t k) { return k % 700 == 5 ? 1000.0 : 1.0; },
      [](int64_t k) { return k == 600 ? kInfinity : 1.0; },
      [](int64_t k) { return k == 1 ? NAN : 1.0; },
      [](int64_t) { return 0.0; },
      [](int64_t) { return 0x1p-20; },
  };
  for (double scale : {0.07, 0.5, 3.0}) {
    for (const auto& factor : factors) {
      TestCall call = Scaled(false, scale, factor);
      SCOPED_TRACE(testing::Message() << "scale " << scale << ", factors " << &factor - factors);
      ExpectConforms(call);
    }
  }
}

// Products as large as they can be: keys that are their queries, or those negated. One element is
// bound by 2^15; the others have norms of 46280 to 46304 in integers, so their product is within
// half a percent of 2^31. A sum that wrapped would change its sign.
TEST(Int16Scores, RowsThatAreTheirQueriesDoNotWrap) {
  for (const int64_t kind : {0, 1, 2, 3}) {
    const auto element = [&](int64_t c) {
      switch (kind) {
        case 0: return c == 5 ? 60000.0 : 0.0;
        case 1: return 6.5234375;
        case 2: return c % 2 == 0 ? 6.5234375 : -6.5234375;
        default: return c % 48 == 0 ? 180.875 : 0.125;
      }
    };
    Shape s = Decode(false);
    s.n = {128};
    s.count = 128;
    TestCall call = Attention(s, 313);
    double square = 0;
    for (int64_t c = 0; c < s.latent + s.rope; ++c) square += element(c) * element(c);
    call.Set("scale_value", 1 / square);
    const auto fill = [&](const char* name, int64_t rows, int64_t first, int64_t dim, bool signs) {
      for (int64_t i = 0; i < rows * dim; ++i) {
        const double sign = signs && i / dim % 2 == 1 ? -1 : 1;
        base::StoreDouble(call.view(name).data, s.dtype, i, sign * element(first + i % dim));
      }
    };
    fill("query", s.heads, 0, s.latent, false);
    fill("query_rope", s.heads, s.latent, s.rope, false);
    fill("key", s.count, 0, s.latent, true);
    fill("key_rope", s.count, s.latent, s.rope, true);
    SelectInOrder(call, s.count);
    SCOPED_TRACE(kind);
    for (Level level : LevelsOfIntegers()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      const double want = element(5) * std::tanh(1.0);
      EXPECT_NEAR(call.Got("out", 5), want, 1e-2 * std::fabs(want));  // 128 rounded weights
    }
    ExpectConforms(call);
  }
}

}  // namespace
}  // namespace tamis::test::attention

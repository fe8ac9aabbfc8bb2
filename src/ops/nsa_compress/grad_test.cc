// The gradient of nsa_compress.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "tamis/tamis.hpp"
#include "tests/support/gradients.h"
#include "tests/support/levels.h"
#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::test {
namespace {

struct Shape {
  DType dtype = DType::kBFloat16;
  int64_t heads = 2;
  int64_t dim = 24;
  int64_t block = 8;
  int64_t stride = 4;
  std::vector<int64_t> lengths = {40, 20, 33};
  int64_t gap = 0;

  int64_t windows() const {
    int64_t count = 0;
    for (const int64_t length : lengths)
      count += length < block ? 0 : (length - block) / stride + 1;
    return count;
  }
  int64_t tokens() const { return lengths.empty() ? 0 : Prefix(lengths).back(); }
};

using Value = std::function<double(const char* name, int64_t place)>;

TestCall Gradient(const Shape& s, const Value& value) {
  TestCall call("nsa_compress_grad");
  const auto tensor = [&](const char* name, const std::vector<int64_t>& shape) {
    call.Strided(name, s.dtype, shape, s.gap, [&](int64_t i) { return value(name, i); });
  };
  tensor("output_grad", {s.windows(), s.heads, s.dim});
  tensor("input", {s.tokens(), s.heads, s.dim});
  tensor("weight", {s.block, s.heads});
  call.Set("act_seq_len", Prefix(s.lengths))
      .Set("compress_block_size", s.block)
      .Set("compress_stride", s.stride)
      .OutputGap(s.gap);
  return call;
}

TestCall Gradient(const Shape& s, uint64_t seed) {
  return Gradient(s, [=](const char* name, int64_t i) { return Draw(seed, name, i); });
}

void ExpectGradientConforms(const Shape& s, uint64_t seed) {
  TestCall call = Gradient(s, seed);
  SCOPED_TRACE(testing::Message() << "windows of " << s.block << " every " << s.stride << ", "
                                  << s.heads << " heads of " << s.dim);
  ExpectConforms(call);
}

TEST(NsaCompressGrad, AgreesOverDtypesShapesAndRaggedLengths) {
  Random random(1);
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (int i = 0; i < 12; ++i) {
      Shape s;
      s.dtype = dtype;
      s.block = random.Between(1, 40);
      s.stride = random.Between(1, s.block);
      s.heads = random.Between(1, 5);
      s.dim = random.Between(1, 100);
      s.gap = random.Between(0, 1) * 3;
      s.lengths.clear();
      for (int64_t b = random.Between(1, 5); b > 0; --b)
        s.lengths.push_back(random.Between(0, 3 * s.block));
      ExpectGradientConforms(s, random.Next());
    }
  }
}

TEST(NsaCompressGrad, WindowsThatTouchOverlapALotOrEndOffTheStride) {
  struct Case {
    int64_t block, stride;
  };
  for (const Case& c : {Case{16, 16}, Case{32, 16}, Case{48, 32}, Case{7, 5}, Case{9, 1},
                        Case{30, 4}, Case{1, 1}, Case{64, 16}}) {
    Shape s;
    s.block = c.block;
    s.stride = c.stride;
    s.lengths = {c.block - 1, c.block, 0, 5 * c.block + 3};
    ExpectGradientConforms(s, 2);
  }
}

TEST(NsaCompressGrad, RunsOfWindowsEndWithinSequences) {
  Shape s;
  s.heads = 3;
  s.dim = 5;
  s.lengths = {4 * 300, 7, 8, 4 * 260 + 3};  // 299, 0, 1, 260 windows: three runs
  ExpectGradientConforms(s, 3);
  s.dtype = DType::kFloat32;
  s.block = 13;
  s.stride = 3;
  ExpectGradientConforms(s, 4);
}

TEST(NsaCompressGrad, EmptyTensorsGiveEmptyOrZeroGradients) {
  for (const Shape& s : {Shape{.heads = 0}, Shape{.dim = 0}, Shape{.lengths = {}},
                         Shape{.lengths = {0, 0}}, Shape{.lengths = {7, 3, 7}}}) {
    ExpectGradientConforms(s, 5);
    TestCall call = Gradient(s, 5);
    ASSERT_TRUE(call.Run({}).ok());
    EXPECT_EQ(call.OutputElems("input_grad"), s.tokens() * s.heads * s.dim);
    EXPECT_EQ(call.OutputElems("weight_grad"), s.block * s.heads);
    for (int64_t i = 0; i < call.OutputElems("weight_grad"); ++i)
      EXPECT_EQ(call.Got("weight_grad", i), 0);
  }
}

// The forward's own tensors and attributes, as an optimiser's step takes them.
TEST(NsaCompressGrad, TakesTheCallOfTheForward) {
  TestCall forward("nsa_compress");
  Random random(6);
  const auto normal = [&](int64_t) { return random.Normal(); };
  forward.Strided("input", DType::kFloat16, {100, 3, 20}, 2, normal)
      .Tensor("weight", DType::kFloat16, {12, 3}, normal)
      .Set("act_seq_len", std::vector<int64_t>{40, 30, 30})
      .Set("act_seq_len_type", 1)
      .Set("compress_block_size", 12)
      .Set("compress_stride", 5);
  TestCall call = GradientOf("nsa_compress_grad", forward, 7, 3);
  ExpectConforms(call);
}

TEST(NsaCompressGrad, OnlyWhatIsAskedForIsComputedToTheSameBits) {
  const Shape s = {.lengths = {300, 5, 90}};
  for (Level level : TestedLevels()) {
    TestCall both = Gradient(s, 8);
    const Result<Outputs> all = both.Run({.level = level});
    ASSERT_TRUE(all.ok());
    for (const std::string name : {"input_grad", "weight_grad"}) {
      const std::string other = name == "input_grad" ? "weight_grad" : "input_grad";
      TestCall one = Gradient(s, 8);
      one.Set("return_" + other, false);
      const Result<Outputs> found = one.Run({.level = level});
      ASSERT_TRUE(found.ok());
      EXPECT_EQ(found->count(other), 0u);
      EXPECT_EQ(found->at(name), all->at(name)) << name;
      TestCall omitted = Gradient(s, 8);
      omitted.Omit(other);
      const Result<Outputs> left = omitted.Run({.level = level});
      ASSERT_TRUE(left.ok());
      EXPECT_EQ(left->at(name), all->at(name)) << name;
    }
    TestCall none = Gradient(s, 8);
    none.Set("return_input_grad", false).Set("return_weight_grad", false);
    EXPECT_TRUE(none.Run({.level = level}).ok());
  }
}

// Small integers: every sum is exact, and so is what the loops of a forward say about it.
TEST(NsaCompressGrad, IntegersGiveTheExactSums) {
  for (const Shape& s :
       {Shape{.dtype = DType::kFloat16, .lengths = {19, 3, 30}},
        Shape{.dtype = DType::kFloat32, .block = 7, .stride = 2, .lengths = {600, 0, 7}}}) {
    const auto value = [](const char* name, int64_t i) {
      return std::floor(5 * std::fabs(std::fmod(Draw(9, name, i), 1.0))) - 2;
    };
    std::vector<double> tokens(static_cast<size_t>(s.tokens() * s.heads * s.dim));
    std::vector<double> weights(static_cast<size_t>(s.block * s.heads));
    int64_t begin = 0;
    int64_t window = 0;
    for (const int64_t length : s.lengths) {
      for (int64_t first = 0; first + s.block <= length; first += s.stride, ++window) {
        for (int64_t w = 0; w < s.block; ++w) {
          for (int64_t e = 0; e < s.heads * s.dim; ++e) {
            const int64_t token = (begin + first + w) * s.heads * s.dim + e;
            const int64_t weight = w * s.heads + e / s.dim;
            const double dy = value("output_grad", window * s.heads * s.dim + e);
            tokens[static_cast<size_t>(token)] += value("weight", weight) * dy;
            weights[static_cast<size_t>(weight)] += value("input", token) * dy;
          }
        }
      }
      begin += length;
    }
    for (Level level : TestedLevels()) {
      TestCall call = Gradient(s, value);
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (size_t i = 0; i < tokens.size(); ++i)
        ASSERT_EQ(call.Got("input_grad", static_cast<int64_t>(i)), tokens[i]) << i;
      for (size_t i = 0; i < weights.size(); ++i) {
        float once = 0;
        base::StoreDouble(&once, s.dtype, 0, weights[i]);
        ASSERT_EQ(call.Got("weight_grad", static_cast<int64_t>(i)),
                  base::LoadAsDouble(&once, s.dtype, 0))
            << i;
      }
    }
  }
}

TEST(NsaCompressGrad, NanOfATokenOfNoWindowReachesNothing) {
  const Shape s = {.lengths = {7, 42, 3, 8}};  // all of the first and third, two of the second
  const int64_t row = s.heads * s.dim;
  const auto unseen = [](int64_t t) { return t < 7 || (t >= 47 && t < 52); };
  const auto poisoned = [&](const char* name, int64_t i) {
    return name == std::string("input") && unseen(i / row) ? NAN : Draw(10, name, i);
  };
  for (Level level : TestedLevels()) {
    TestCall clean = Gradient(s, 10);
    TestCall call = Gradient(s, poisoned);
    const Result<Outputs> expected = clean.Run({.level = level});
    const Result<Outputs> found = call.Run({.level = level});
    ASSERT_TRUE(expected.ok() && found.ok());
    EXPECT_EQ(*expected, *found);
    for (int64_t i = 0; i < s.tokens() * row; ++i) {
      ASSERT_FALSE(std::isnan(call.Got("input_grad", i)));
      if (unseen(i / row)) {
        ASSERT_EQ(call.Got("input_grad", i), 0) << i / row;
      }
    }
  }
}

TEST(NsaCompressGrad, NanReachesItsWindowsItsColumnAndItsHead) {
  const Shape s = {.lengths = {40}};
  const auto in_window = [&](int64_t t, int64_t i) { return t >= 4 * i && t < 4 * i + 8; };
  const auto poisoned = [&](const std::string& which, int64_t place) {
    return [=](const char* name, int64_t i) {
      return which == name && i == place ? NAN : Draw(11, name, i);
    };
  };
  for (Level level : TestedLevels()) {
    // Token 17, head 1, column 3: places 1 and 5 of windows 4 and 3.
    TestCall token = Gradient(s, poisoned("input", (17 * 2 + 1) * 24 + 3));
    ASSERT_TRUE(token.Run({.level = level}).ok());
    for (int64_t i = 0; i < 16; ++i)
      EXPECT_EQ(std::isnan(token.Got("weight_grad", i)), i == 1 * 2 + 1 || i == 5 * 2 + 1) << i;
    for (int64_t i = 0; i < 40 * 48; ++i) ASSERT_FALSE(std::isnan(token.Got("input_grad", i)));

    // Window 2, head 0, column 5.
    TestCall window = Gradient(s, poisoned("output_grad", 2 * 48 + 5));
    ASSERT_TRUE(window.Run({.level = level}).ok());
    for (int64_t i = 0; i < 40 * 48; ++i) {
      ASSERT_EQ(std::isnan(window.Got("input_grad", i)), i % 48 == 5 && in_window(i / 48, 2)) << i;
    }
    for (int64_t i = 0; i < 16; ++i)
      EXPECT_EQ(std::isnan(window.Got("weight_grad", i)), i % 2 == 0) << i;
  }
}

// A sequence's tokens have the same bits alone, and first, between and last of others.
TEST(NsaCompressGrad, TokensDoNotDependOnOtherSequences) {
  Shape alone = {.lengths = {1500}};
  const int64_t row = alone.heads * alone.dim;
  for (Level level : TestedLevels()) {
    TestCall one = Gradient(alone, 12);
    ASSERT_TRUE(one.Run({.threads = 1, .level = level}).ok());
    for (const std::vector<int64_t>& before : {std::vector<int64_t>{}, {9}, {5, 700}}) {
      Shape s = alone;
      s.lengths = before;
      const int64_t token = s.tokens();
      const int64_t window = s.windows();
      s.lengths.push_back(1500);
      s.lengths.push_back(61);
      const auto value = [&](const char* name, int64_t i) {
        const bool weight = name == std::string("weight");
        const int64_t first = weight ? 0 : (name == std::string("input") ? token : window) * row;
        return Draw(12, name, i - first);
      };
      TestCall call = Gradient(s, value);
      ASSERT_TRUE(call.Run({.threads = 2, .level = level}).ok());
      for (int64_t i = 0; i < 1500 * row; ++i)
        ASSERT_EQ(call.Got("input_grad", token * row + i), one.Got("input_grad", i)) << i;
    }
  }
}

TEST(NsaCompressGrad, WorkspaceIsTheStatedOne) {
  struct Case {
    int64_t tokens, heads, dim, block, stride;
    int32_t threads;
    int64_t heads_per_item;
  };
  for (const Case& c : {Case{65536, 4, 192, 32, 16, 2, 4}, Case{65536, 4, 192, 32, 16, 16, 1},
                        Case{1 << 20, 128, 64, 128, 16, 1, 16}, Case{40, 3, 8, 8, 4, 1, 3},
                        Case{1 << 20, 4, 64, 32, 16, 7, 4}}) {
    const int64_t windows = (c.tokens - c.block) / c.stride + 1;
    const std::vector<int64_t> lengths = {c.tokens};
    const std::vector<uint16_t> weight(static_cast<size_t>(c.block * c.heads));
    const uint16_t* const nowhere = weight.data();  // a plan reads nothing
    nsa_compress_grad::Params params = {
        .output_grad = {nowhere, DType::kBFloat16, {windows, c.heads, c.dim}},
        .input = {nowhere, DType::kBFloat16, {c.tokens, c.heads, c.dim}},
        .weight = {nowhere, DType::kBFloat16, {c.block, c.heads}},
        .act_seq_len = lengths,
        .compress_block_size = c.block,
        .compress_stride = c.stride,
        .input_grad = OutputView::Inferred(),
        .weight_grad = OutputView::Inferred()};
    const auto plan = nsa_compress_grad::plan(params, {.threads = c.threads});
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    const auto up = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
    const int64_t runs = (windows + 255) / 256;
    const int64_t lh = c.block * c.heads_per_item;
    const int64_t groups = (c.heads + c.heads_per_item - 1) / c.heads_per_item;
    const int64_t rows = std::max<int64_t>(1024 / c.heads, 1);
    const int64_t items =
        std::max(runs * groups, (c.block + rows - 1) / rows + (c.tokens + 4095) / 4096);
    EXPECT_EQ(plan->workspace_bytes(),
              up(4 * runs * c.block * c.heads) +
                  std::min<int64_t>(c.threads, items) * (up(4 * lh) + 64 * lh))
        << c.tokens << " tokens, " << c.threads << " threads";
  }
}

TEST(NsaCompressGrad, LengthsMayBeGivenAsCountsOrBeginWithZero) {
  TestCall prefix = Gradient({}, 13);
  TestCall counts = Gradient({}, 13);
  counts.Set("act_seq_len", std::vector<int64_t>{40, 20, 33}).Set("act_seq_len_type", 1);
  ExpectSameBytes(prefix, counts);
  TestCall zero = Gradient({}, 13);
  zero.Set("act_seq_len", std::vector<int64_t>{0, 40, 60, 93});
  ExpectSameBytes(prefix, zero);
}

TEST(NsaCompressGrad, WhatDoesNotFitIsRefusedByName) {
  const auto refuse = [](const Change& change, const char* argument) {
    ExpectRefusedAfter(Gradient({}, 14), change, argument);
  };
  // 9 + 4 + 7 windows.
  refuse(Filled("output_grad", DType::kBFloat16, {19, 2, 24}), "output_grad");
  refuse(Filled("output_grad", DType::kBFloat16, {21, 2, 24}), "output_grad");
  refuse(Filled("input", DType::kBFloat16, {93, 2, 23}), "input");
  refuse(Filled("input", DType::kFloat16, {93, 2, 24}), "input");
  refuse(Filled("weight", DType::kBFloat16, {7, 2}), "weight");
  refuse(With("act_seq_len", std::vector<int64_t>{40, 60, 92}), "act_seq_len");
  refuse(With("act_seq_len_type", int64_t{2}), "act_seq_len_type");
  refuse(With("compress_stride", int64_t{9}), "compress_stride");
  refuse(With("compress_stride", int64_t{0}), "compress_stride");
  refuse(With("layout", std::string("BSND")), "layout");
}

TEST(NsaCompressGrad, StrictEnforcesTheLimitsOfTheForward) {
  const auto shape = [](int64_t heads, int64_t dim, int64_t block, int64_t stride) {
    return Shape{.dtype = DType::kFloat16,
                 .heads = heads,
                 .dim = dim,
                 .block = block,
                 .stride = stride,
                 .lengths = {150}};
  };
  for (const Shape& s : {shape(128, 256, 128, 128), shape(1, 16, 48, 32)})
    ExpectAllowedByStrict(Gradient(s, 15));
  ExpectRefusedByStrictAlone(Gradient(shape(129, 16, 16, 16), 15), "input");
  ExpectRefusedByStrictAlone(Gradient(shape(1, 24, 16, 16), 15), "input");
  ExpectRefusedByStrictAlone(Gradient(shape(1, 272, 16, 16), 15), "input");
  ExpectRefusedByStrictAlone(Gradient(shape(1, 16, 24, 16), 15), "compress_block_size");
  ExpectRefusedByStrictAlone(Gradient(shape(1, 16, 144, 16), 15), "compress_block_size");
  ExpectRefusedByStrictAlone(Gradient(shape(1, 16, 32, 8), 15), "compress_stride");
  Shape wide = shape(1, 16, 16, 16);
  wide.dtype = DType::kFloat32;
  ExpectRefusedByStrictAlone(Gradient(wide, 15), "output_grad");
  wide = shape(1, 16, 16, 16);
  wide.lengths = {};
  ExpectRefusedByStrictAlone(Gradient(wide, 15), "input");
}

}  // namespace
}  // namespace tamis::test

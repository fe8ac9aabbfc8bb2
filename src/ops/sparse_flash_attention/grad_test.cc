// The gradient of sparse_flash_attention.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/sparse_flash_attention/test_calls.h"
#include "registry/compare.h"
#include "tamis/ops/sparse_flash_attention_grad.hpp"
#include "tests/support/conformance.h"
#include "tests/support/gradients.h"
#include "tests/support/levels.h"

namespace tamis::test::attention {
namespace {

constexpr const char* kGrad = "sparse_flash_attention_grad";

void ExpectGradientConforms(const Shape& s, uint64_t seed) {
  TestCall forward = Attention(s, seed);
  TestCall call = GradientOf(kGrad, forward, seed + 1, s.gap);
  ExpectConforms(call);
}

TEST(SparseFlashAttentionGrad, AgreesOverRandomLayoutsShapesAndLengths) {
  Random random(501);
  for (int i = 0; i < 40; ++i) {
    Shape s;
    constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.tnd = random.Below(2) == 0;
    s.keys = s.tnd ? Keys::kTnd : Keys::kBsnd;
    s.heads = random.Between(1, 20);
    s.latent = random.Between(1, 40);
    s.rope = random.Below(3) == 0 ? -1 : random.Between(1, 20);
    s.count = random.Between(0, 40);
    s.block = random.Below(2) == 0 ? 1 : random.Between(1, 20);
    s.mode = random.Below(2) == 0 ? 3 : 0;
    s.padding = random.Between(0, 2);
    s.gap = random.Between(0, 1) * 5;
    s.lengths = random.Below(2) == 0 ? DType::kInt32 : DType::kInt64;
    s.value = random.Below(2) == 0;
    s.sinks = random.Below(2) == 0;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Between(0, 6));
      s.n.push_back(random.Between(0, 70));
    }
    if (Prefix(s.n).back() == 0) s.n[0] = 1;
    HideSomeKeys(&s, &random);
    s.out_float32 = false;
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectGradientConforms(s, random.Next());
  }
}

TEST(SparseFlashAttentionGrad, AgreesAtTheModelsDims) {
  for (const auto& [heads, dtype] : {std::pair<int64_t, DType>{128, DType::kBFloat16},
                                     {16, DType::kFloat16},
                                     {16, DType::kFloat32}}) {
    Shape s;
    s.dtype = dtype;
    s.heads = heads;
    s.latent = 512;
    s.rope = 64;
    s.q = {3};
    s.n = {90};
    s.count = 70;
    SCOPED_TRACE(heads);
    ExpectGradientConforms(s, 510);
  }
}

// Sums of keys in several ranges of positions and strips of columns, positions of two digits.
TEST(SparseFlashAttentionGrad, LongSequencesWideRows) {
  Shape s;
  s.heads = 2;
  s.latent = 200;
  s.rope = 30;
  s.q = {2, 2};
  s.n = {5000, 1100};
  s.count = 60;
  s.value = true;
  ExpectGradientConforms(s, 520);
}

// Of two calls, whatever lies in their gaps.
void ExpectSameElements(const TestCall& a, const TestCall& b, const char* output, int64_t begin,
                        int64_t count, int64_t begin_of_b) {
  int64_t differ = 0;
  for (int64_t i = 0; i < count; ++i)
    differ += a.Got(output, begin + i) != b.Got(output, begin_of_b + i) ? 1 : 0;
  EXPECT_EQ(differ, 0) << output << " from element " << begin;
}

// Chunks, sequences that go over their ends, and any thread: the same bits as alone.
TEST(SparseFlashAttentionGrad, ASequenceGivesTheSameBitsInAnyCompany) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.heads = 1;
  s.latent = 24;
  s.block = 64;
  s.count = 32;
  s.mode = 0;
  s.q = {150, 400, 300};
  s.n = {2100, 2048, 2500};
  TestCall forward = Attention(s, 530);
  TestCall all = GradientOf(kGrad, forward, 531);
  for (Level level : TestedLevels()) {
    const Result<registry::Call> made = all.WithOutputs();
    ASSERT_TRUE(made.ok());
    const std::string how = made->MakePlan({.level = level})->explanation();
    EXPECT_NE(how.find("chunks of 248 of 850 tokens"), std::string::npos) << how;
    ASSERT_TRUE(all.Run({.threads = 1, .level = level}).ok());
    ExpectSequencesAlone(all, kGrad, s.q, s.n, level,
                         {"query_grad", "query_rope_grad", "key_grad", "key_rope_grad"});
  }
}

TEST(SparseFlashAttentionGrad, SumsThatWaitBetweenChunksAreRight) {
  Shape s;
  s.heads = 1;
  s.latent = 4;
  s.rope = -1;
  s.block = 64;
  s.count = 32;
  s.mode = 0;
  s.q = {300};
  s.n = {2048};
  TestCall forward = Attention(s, 540);
  TestCall call = GradientOf(kGrad, forward, 541);
  for (Level level : TestedLevels()) {
    Result<registry::Call> made = call.WithOutputs();
    ASSERT_TRUE(made.ok());
    const Result<Plan> plan = made->MakePlan({.level = level});
    ASSERT_TRUE(plan.ok() && plan->run().ok());
    EXPECT_NE(plan->explanation().find("chunks of 248 of 300"), std::string::npos)
        << plan->explanation();
    const auto compared =
        registry::CompareWithReference(made->op(), made->params(), {0, 299, 300, 1500, 2347}, 2);
    ASSERT_TRUE(compared.ok()) << compared.status().message();
    for (const registry::OutputComparison& c : *compared) EXPECT_TRUE(c.ok()) << c.first_mismatch;
  }
}

// --- lists

TEST(SparseFlashAttentionGrad, APositionThatIsNamedTwiceCountsTwice) {
  Shape s;
  s.dtype = DType::kFloat32;
  s.q = {1};
  s.n = {9};
  s.mode = 0;
  TestCall forward = Attention(s, 550);
  SetIds(forward, {1, 1, 1, 4}, {5, 3, 5, 3});
  TestCall twice = GradientOf(kGrad, forward, 551);
  TestCall once = GradientOf(kGrad, forward, 551);
  SetIds(once, {1, 1, 1, 4}, {5, 3, -1, -1});
  ASSERT_TRUE(twice.Run({}).ok());
  ASSERT_TRUE(once.Run({}).ok());
  ExpectConforms(twice);
  ExpectConforms(once);
}

TEST(SparseFlashAttentionGrad, WhatNoListNamesIsExactlyZeroAndTouchesNothing) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    Shape s;
    s.dtype = dtype;
    s.q = {3};
    s.n = {30};
    s.mode = 0;
    TestCall forward = Attention(s, 560);
    SetIds(forward, {1, 3, 1, 4}, {5, 3, 17, 2, -1, 4, 4, 4, 7, 99, 2, -1});
    TestCall call = GradientOf(kGrad, forward, 561);
    for (const char* name : {"key", "key_rope"}) {
      const TensorView& view = call.view(name);
      const int64_t dim = view.shape[3];
      for (int64_t row = 0; row < 30; ++row) {
        const bool named = row == 5 || row == 3 || row == 17 || row == 2 || row == 7;
        for (int64_t c = 0; !named && c < dim; ++c)
          base::StoreDouble(view.data, dtype, row * dim + c,
                            std::numeric_limits<double>::quiet_NaN());
      }
    }
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (const char* output : {"query_grad", "query_rope_grad", "key_grad", "key_rope_grad"}) {
        for (int64_t i = 0; i < call.OutputElems(output); ++i)
          ASSERT_TRUE(std::isfinite(call.Got(output, i))) << output << " " << i;
      }
      for (int64_t c = 0; c < s.latent; ++c) {
        EXPECT_EQ(call.Got("key_grad", 29 * s.latent + c), 0.0);
        EXPECT_EQ(call.Got("query_grad", s.heads * s.latent + c), 0.0) << "an empty list";
      }
    }
    ExpectConforms(call);
  }
}

// A gradient of scores that is NaN moves no gradient of a value, whatever columns they share.
TEST(SparseFlashAttentionGrad, AValueThatIsNotANumberHasAGradientThatIs) {
  for (const int64_t latent : {20, 32, 190}) {
    Shape s;
    s.dtype = DType::kFloat32;
    s.latent = latent;
    s.rope = 5;
    s.q = {2};
    s.n = {9};
    s.mode = 0;
    s.value = true;
    TestCall forward = Attention(s, 565);
    SetIds(forward, {1, 2, 1, 3}, {5, 3, 8, 3, 2, 2});
    TestCall call = GradientOf(kGrad, forward, 566);
    *static_cast<float*>(call.view("value").data) = std::numeric_limits<float>::quiet_NaN();
    SetIds(call, {1, 2, 1, 3}, {0, 3, 8, 3, 2, 2});
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (int64_t i = 0; i < call.OutputElems("value_grad"); ++i)
        ASSERT_TRUE(std::isfinite(call.Got("value_grad", i))) << i;
      EXPECT_TRUE(std::isnan(call.Got("key_grad", 3 * latent)));
    }
    ExpectConforms(call);
  }
}

// --- values and sinks

// The gradient of a latent key is that of a key and that of a value.
TEST(SparseFlashAttentionGrad, ALatentKeyHasTheGradientsOfAKeyAndOfAValue) {
  Shape s;
  s.dtype = DType::kFloat32;
  s.q = {4};
  s.n = {40};
  TestCall forward = Attention(s, 570);
  TestCall latent = GradientOf(kGrad, forward, 571);
  TestCall own = GradientOf(kGrad, forward, 571);
  own.View("value", latent.view("key"));
  ASSERT_TRUE(latent.Run({}).ok());
  ASSERT_TRUE(own.Run({}).ok());
  for (int64_t i = 0; i < latent.OutputElems("key_grad"); ++i) {
    const double sum = own.Got("key_grad", i) + own.Got("value_grad", i);
    EXPECT_NEAR(latent.Got("key_grad", i), sum, 1e-5 * (1 + std::fabs(sum)));
  }
}

TEST(SparseFlashAttentionGrad, OutputsThatAreNotWantedMoveNoBitOfOthers) {
  const std::vector<const char*> outputs = {"query_grad",      "key_grad",      "value_grad",
                                            "query_rope_grad", "key_rope_grad", "sinks_grad"};
  Shape s;
  s.q = {4};
  s.n = {40};
  s.value = s.sinks = true;
  TestCall forward = Attention(s, 580);
  TestCall all = GradientOf(kGrad, forward, 581);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(all.Run({.level = level}).ok());
    for (const char* kept : outputs) {
      TestCall one = GradientOf(kGrad, forward, 581);
      for (const char* other : outputs) {
        if (other != kept) one.Omit(other);
      }
      ASSERT_TRUE(one.Run({.level = level}).ok());
      ExpectSameElements(one, all, kept, 0, one.OutputElems(kept), 0);
      EXPECT_GT(one.OutputElems(kept), 0);
    }
  }
}

// --- workspace

int64_t Lines(int64_t floats) { return (floats + 15) / 16 * 16; }

// The formula of docs/attention-gradients.md, of one sequence and latent keys without values.
struct Sizes {
  int64_t tokens, keys, heads, latent, rope, selected;

  int64_t slots() const { return std::min(selected, keys); }
};
int64_t WorkspaceOf(const Sizes& s, int64_t workers) {
  const int64_t dim = s.latent + s.rope;
  const int64_t tiles = (s.slots() + 63) / 64 * 64;
  const int64_t left = 16 + Lines(s.slots()) + 2 * tiles * Lines(s.heads);
  const int64_t chunk = std::min(s.tokens, std::max<int64_t>(4, (int64_t{1} << 24) / left));
  const int64_t strips = (dim + 191) / 192;
  const int64_t key_stride = dim <= 208 ? 208 : 592;
  const int64_t queries = Lines(s.slots()) + 2048 + tiles + Lines(s.heads) * Lines(dim) +
                          Lines(s.heads) * Lines(s.latent) + 64 * key_stride +
                          Lines((s.heads + 1) * Lines(dim)) + 3 * Lines(s.heads);
  const int64_t keys = 1024 * 192 + 192 + s.heads * 192;
  const int64_t waiting = chunk < s.tokens ? s.keys * strips * 192 : 0;
  return 4 * (workers * std::max(queries, keys) + chunk * left + waiting);
}

int64_t PlannedBytes(const Sizes& s, Level level) {
  sparse_flash_attention_grad::Params p;
  const DType bf16 = DType::kBFloat16;
  p.query = p.out_grad = {nullptr, bf16, {1, s.tokens, s.heads, s.latent}};
  p.key = {nullptr, bf16, {1, s.keys, 1, s.latent}};
  p.sparse_indices = {nullptr, DType::kInt32, {1, s.tokens, 1, s.selected}};
  p.softmax_max = p.softmax_sum = {nullptr, DType::kFloat32, {1, s.tokens, s.heads}};
  p.query_rope = {nullptr, bf16, {1, s.tokens, s.heads, s.rope}};
  p.key_rope = {nullptr, bf16, {1, s.keys, 1, s.rope}};
  p.scale_value = 0.1;
  p.query_grad = {nullptr, bf16, {1, s.tokens, s.heads, s.latent}};
  p.key_grad = {nullptr, bf16, {1, s.keys, 1, s.latent}};
  const Result<Plan> plan = sparse_flash_attention_grad::plan(p, {.threads = 2, .level = level});
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return plan.ok() ? plan->workspace_bytes() : -1;
}

TEST(SparseFlashAttentionGrad, TheWorkspaceIsThatOfTheFormula) {
  for (Level level : TestedLevels()) {
    for (const Sizes& s : {Sizes{8192, 8192, 16, 512, 64, 2048}, Sizes{100, 3000, 128, 512, 64, 70},
                           Sizes{50, 40, 6, 20, 4, 64}})
      EXPECT_EQ(PlannedBytes(s, level), WorkspaceOf(s, 2));
  }
}

TEST(SparseFlashAttentionGrad, TokensOf32KTakeLessThan256MB) {
  const int64_t bytes = PlannedBytes({32768, 32768, 16, 512, 64, 2048}, Level::kScalar);
  EXPECT_GT(bytes, 0);
  EXPECT_LT(bytes, 256000000);
}

}  // namespace
}  // namespace tamis::test::attention

// The gradient of sliding_window_attention.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/sliding_window_attention/test_calls.h"
#include "tamis/ops/sliding_window_attention_grad.hpp"
#include "tests/support/conformance.h"
#include "tests/support/gradients.h"
#include "tests/support/levels.h"
#include "tests/support/sequences.h"

namespace tamis::test::window {
namespace {

void ExpectGradientConforms(const Shape& s, uint64_t seed) {
  TestCall forward = Attention(s, seed);
  TestCall call = GradientOf("sliding_window_attention_grad", forward, seed + 1, s.gap);
  ExpectConforms(call);
}

// Rows [begin, begin + rows) of a packed tensor.
TensorView RowsOf(const TensorView& view, int64_t begin, int64_t rows) {
  TensorView part = view;
  part.data = static_cast<char*>(view.data) + begin * view.strides[0] * base::ItemSize(view.dtype);
  part.shape[0] = rows;
  return part;
}

// Every sequence of a packed call whose sequences have as many keys as tokens gives, by itself, its
// part of what the call has given.
void ExpectPartsAlike(const Shape& s, const TestCall& all, Level level) {
  int64_t begin = 0;
  for (const int64_t rows : s.q) {
    TestCall alone("sliding_window_attention_grad");
    for (const auto& [name, value] : all.attributes()) alone.Set(name, value);
    for (const auto& [name, view] : all.tensors()) {
      if (name.rfind("actual_seq_lengths", 0) == 0) {
        alone.List(name, DType::kInt32, {rows});
      } else {
        alone.View(name, RowsOf(view, begin, rows));
      }
    }
    ASSERT_TRUE(alone.Run({.threads = 2, .level = level}).ok());
    for (const char* output : {"query_grad", "key_grad", "value_grad"}) {
      const int64_t elems = alone.OutputElems(output);
      int64_t differ = 0;
      for (int64_t i = 0; i < elems; ++i)
        differ += alone.Got(output, i) != all.Got(output, begin * (elems / rows) + i) ? 1 : 0;
      EXPECT_EQ(differ, 0) << output << " of the sequence from token " << begin;
    }
    begin += rows;
  }
}

TEST(SlidingWindowAttentionGrad, LayoutsDtypesAndRaggedLengths) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (bool tnd : {false, true}) {
      for (int64_t window : {1, 7, 64, 200}) {
        Shape s;
        s.dtype = dtype;
        s.tnd = tnd;
        s.keys = tnd ? Keys::kTnd : Keys::kBsnd;
        s.q = {3, 70, 0, 1};
        s.n = {40, 130, 9, 5};
        s.window = window;
        s.gap = tnd ? 3 : 0;
        SCOPED_TRACE(testing::Message() << "tnd " << tnd << ", window " << window);
        ExpectGradientConforms(s, 300);
      }
    }
  }
}

TEST(SlidingWindowAttentionGrad, AnyNumberOfHeadsAndDims) {
  struct Case {
    int64_t heads, kv_heads, dim, value_dim;
  };
  for (const Case& c :
       {Case{1, 1, 1, 1}, Case{5, 1, 33, 7}, Case{16, 4, 64, 64}, Case{96, 1, 40, 24},
        Case{17, 17, 16, 300}, Case{4, 2, 640, 16}, Case{2, 1, 0, 16}, Case{2, 1, 16, 0}}) {
    Shape s;
    s.heads = c.heads;
    s.kv_heads = c.kv_heads;
    s.dim = c.dim;
    s.value_dim = c.value_dim;
    s.q = {20, 5};
    s.n = {90, 3};
    s.window = 70;
    SCOPED_TRACE(testing::Message() << c.heads << " heads, dims " << c.dim << ", " << c.value_dim);
    ExpectGradientConforms(s, 310);
  }
}

TEST(SlidingWindowAttentionGrad, StartsAndLimitsHideKeys) {
  Shape s;
  s.q = {40, 9};
  s.n = {60, 80};
  s.window = 30;
  s.starts = {13, 75};
  s.limits = true;
  s.padding = 2;
  ExpectGradientConforms(s, 320);
}

int64_t Lines(int64_t floats) { return (floats + 15) / 16 * 16; }

// The formula of docs/attention-gradients.md, of one sequence and dims up to 208.
struct Sizes {
  int64_t keys, heads, kv_heads, dim, value_dim, window;

  int64_t group() const { return heads / kv_heads; }
  int64_t units() const { return (keys + 63) / 64; }
  int64_t dims() const { return Lines(dim) + Lines(value_dim); }
  // What a group of `tokens` leaves for one kv head.
  int64_t Left(int64_t tokens) const {
    const int64_t entries =
        tokens * (window >= keys ? units() : std::min(units(), window / 64 + 2));
    const int64_t rows = entries * group() + 15 * std::min(entries, units());
    return Lines(4 * (units() + 1)) + Lines(2 * entries) + 2 * Lines(64 * rows);
  }
};
int64_t WorkspaceOf(const Sizes& s, int64_t workers) {
  constexpr int64_t kMost = int64_t{1} << 24;
  int64_t rows = 256;
  const auto tokens = [&] { return std::min(s.keys, std::max<int64_t>(rows / s.group(), 1)); };
  while (rows > 64 && kMost / (s.kv_heads * s.Left(tokens())) * s.kv_heads < 16) rows /= 2;
  const int64_t t = tokens();
  const int64_t all = (s.keys + t - 1) / t;
  const int64_t groups =
      std::min(all, std::max(kMost / (s.kv_heads * s.Left(t)), (4 + s.kv_heads - 1) / s.kv_heads));
  const int64_t both = 64 * s.dims() + 3 * 64 + Lines(4 * t);
  const int64_t first = both + 2 * 64 * 208 + Lines((t * s.group() + 1) * Lines(s.dim)) +
                        Lines(t * s.group()) + Lines(s.units());
  const int64_t worker = std::max(first, both + 64 * s.dims());
  const int64_t waiting = groups < all ? s.keys : 0;
  return 4 * workers * worker + 4 * s.kv_heads * (groups * s.Left(t) + waiting * s.dims());
}

int64_t PlannedBytes(const Sizes& s, const std::vector<int64_t>& sequences, Level level) {
  sliding_window_attention_grad::Params p;
  const std::vector<int64_t> ends = Prefix(sequences);
  const auto batch = static_cast<int64_t>(ends.size());
  p.query = {nullptr, DType::kBFloat16, {ends.back(), s.heads, s.dim}};
  p.key = {nullptr, DType::kBFloat16, {ends.back(), s.kv_heads, s.dim}};
  p.value = {nullptr, DType::kBFloat16, {ends.back(), s.kv_heads, s.value_dim}};
  p.attention_out_grad = {nullptr, DType::kBFloat16, {ends.back(), s.heads, s.value_dim}};
  p.softmax_max = p.softmax_sum = {nullptr, DType::kFloat32, {ends.back(), s.heads}};
  p.actual_seq_lengths_query = {ends.data(), DType::kInt64, {batch}};
  p.actual_seq_lengths_kv = p.actual_seq_lengths_query;
  p.scale_value = 0.1;
  p.window_size = s.window;
  p.layout_query = p.layout_kv = sliding_window_attention::QueryLayout::kTnd;
  p.query_grad = {nullptr, DType::kBFloat16, {ends.back(), s.heads, s.dim}};
  p.key_grad = {nullptr, DType::kBFloat16, {ends.back(), s.kv_heads, s.dim}};
  p.value_grad = {nullptr, DType::kBFloat16, {ends.back(), s.kv_heads, s.value_dim}};
  const Result<Plan> plan = sliding_window_attention_grad::plan(p, {.threads = 2, .level = level});
  return plan.ok() ? plan->workspace_bytes() : -1;
}

TEST(SlidingWindowAttentionGrad, TheWorkspaceIsThatOfTheFormula) {
  for (Level level : TestedLevels()) {
    const Sizes window = {8192, 16, 4, 128, 128, 512};
    EXPECT_EQ(PlannedBytes(window, {8192}, level), WorkspaceOf(window, 2));
    const Sizes dense = {2048, 16, 4, 128, 96, 4096};
    EXPECT_EQ(PlannedBytes(dense, {2048}, level), WorkspaceOf(dense, 2));
    const Sizes small = {50, 6, 3, 20, 12, 7};
    EXPECT_EQ(PlannedBytes(small, {50}, level), WorkspaceOf(small, 2));
  }
}

TEST(SlidingWindowAttentionGrad, TokensOf32KTakeLessThan256MB) {
  const Sizes s = {32768, 16, 4, 128, 128, 512};
  const int64_t bytes = PlannedBytes(s, {32768}, Level::kScalar);
  EXPECT_GT(bytes, 0);
  EXPECT_LT(bytes, 256000000);
}

// Chunks, two sequences that go over the ends of some, and any thread: the same bits as alone.
TEST(SlidingWindowAttentionGrad, ASequenceGivesTheSameBitsInAnyCompany) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.heads = 64;
  s.kv_heads = 1;
  s.q = s.n = {130, 700, 900, 300};
  s.window = 1000;
  TestCall forward = Attention(s, 330);
  TestCall all = GradientOf("sliding_window_attention_grad", forward, 331);
  for (Level level : TestedLevels()) {
    if (level == Level::kScalar) continue;
    const Result<registry::Call> made = all.WithOutputs();
    ASSERT_TRUE(made.ok());
    const std::string how = made->MakePlan({.level = level})->explanation();
    EXPECT_NE(how.find("chunks of 32 of 508 groups"), std::string::npos) << how;
    ASSERT_TRUE(all.Run({.threads = 1, .level = level}).ok());
    ExpectPartsAlike(s, all, level);
  }
}

}  // namespace
}  // namespace tamis::test::window

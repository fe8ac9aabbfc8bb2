// The workspace of dense_lightning_indexer_grad_kl_loss, and that chunks, threads and other
// sequences move no bit.
#include <algorithm>

#include "ops/dense_lightning_indexer/test_calls.h"
#include "tamis/ops/dense_lightning_indexer_grad_kl_loss.hpp"
#include "tamis/ops/dense_lightning_indexer_softmax_lse.hpp"
#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test::dense_indexer {
namespace {

int64_t Lines(int64_t floats) { return (floats + 15) / 16 * 16; }

// The formulas of README.md, of one sequence.
struct Sizes {
  int64_t tokens, heads, kv_heads, dim, rope, index_heads, index_dim;

  static int64_t Stride(int64_t dim) {
    return dim <= 208 ? 208 : dim <= 592 ? 592 : 16 * ((dim + 15) / 16 | 1);
  }
  int64_t Common(int64_t columns) const {
    return 32 * columns + 64 * Stride(columns) + 32 * index_heads + Lines(index_heads);
  }
  int64_t OfStatistics(int64_t workers) const {
    return 4 * workers * (Common(index_dim) + 2 * 2048 + 3 * 32);
  }
  int64_t OfLoss(int64_t threads) const {
    const int64_t stride = Lines(index_dim);
    const int64_t groups = (tokens + 31) / 32;
    const int64_t chunk = std::min(groups, std::max<int64_t>((1 << 24) / (32 * tokens), 4));
    const int64_t first = 64 * heads + 2048 * std::max<int64_t>(index_heads, 1) + 2 * 2048 +
                          4 * 32 + 32 * index_heads * stride + 32 * index_heads;
    const int64_t second = 2 * 2048 + 2 * 32 * stride + 64 * stride;
    const int64_t worker = Common(std::max(dim + rope, index_dim)) + std::max(first, second);
    const int64_t waiting = chunk < groups ? tokens : 0;
    const int64_t workers = std::min(threads, std::max(chunk, (tokens + 63) / 64));
    return 4 * workers * worker + 4 * (chunk * 32 * tokens + waiting * stride + Lines(tokens));
  }
};

Result<Plan> PlanOf(const Sizes& s, int32_t threads, Level level) {
  constexpr DType kType = DType::kBFloat16;
  dense_lightning_indexer_grad_kl_loss::Params p;
  p.query = {nullptr, kType, {1, s.tokens, s.heads, s.dim}};
  p.key = {nullptr, kType, {1, s.tokens, s.kv_heads, s.dim}};
  p.query_rope = {nullptr, kType, {1, s.tokens, s.heads, s.rope}};
  p.key_rope = {nullptr, kType, {1, s.tokens, s.kv_heads, s.rope}};
  p.query_index = {nullptr, kType, {1, s.tokens, s.index_heads, s.index_dim}};
  p.key_index = {nullptr, kType, {1, s.tokens, 1, s.index_dim}};
  p.weights = {nullptr, kType, {1, s.tokens, s.index_heads}};
  p.softmax_max = p.softmax_sum = {nullptr, DType::kFloat32, {1, s.tokens, s.heads}};
  p.softmax_max_index = p.softmax_sum_index = {nullptr, DType::kFloat32, {1, s.tokens}};
  p.scale_value = 0.1;
  p.loss = {nullptr, DType::kFloat32, {1}};
  p.query_index_grad = {nullptr, kType, {1, s.tokens, s.index_heads, s.index_dim}};
  p.key_index_grad = {nullptr, kType, {1, s.tokens, 1, s.index_dim}};
  p.weights_grad = {nullptr, kType, {1, s.tokens, s.index_heads}};
  return dense_lightning_indexer_grad_kl_loss::plan(p, {.threads = threads, .level = level});
}

Result<Plan> StatisticsOf(const Sizes& s, int32_t threads, Level level) {
  constexpr DType kType = DType::kBFloat16;
  dense_lightning_indexer_softmax_lse::Params p;
  p.query_index = {nullptr, kType, {1, s.tokens, s.index_heads, s.index_dim}};
  p.key_index = {nullptr, kType, {1, s.tokens, 1, s.index_dim}};
  p.weights = {nullptr, kType, {1, s.tokens, s.index_heads}};
  p.softmax_max_index = p.softmax_sum_index = {nullptr, DType::kFloat32, {1, s.tokens}};
  return dense_lightning_indexer_softmax_lse::plan(p, {.threads = threads, .level = level});
}

TEST(DenseLightningIndexerWorkspace, IsThatOfTheFormula) {
  for (Level level : TestedLevels()) {
    for (const Sizes& s :
         {Sizes{32768, 16, 1, 512, 64, 64, 128}, Sizes{2048, 32, 32, 128, 64, 8, 128},
          Sizes{50, 6, 2, 20, 5, 3, 12}, Sizes{300, 2, 1, 640, 16, 5, 700}}) {
      const Result<Plan> loss = PlanOf(s, 2, level);
      ASSERT_TRUE(loss.ok()) << loss.status().message();
      EXPECT_EQ(loss->workspace_bytes(), s.OfLoss(2));
      const Result<Plan> statistics = StatisticsOf(s, 2, level);
      ASSERT_TRUE(statistics.ok()) << statistics.status().message();
      EXPECT_EQ(statistics->workspace_bytes(), s.OfStatistics(2));
    }
  }
}

TEST(DenseLightningIndexerWorkspace, TokensOf32KTakeLessThan100MB) {
  const Result<Plan> plan = PlanOf({32768, 16, 1, 512, 64, 64, 128}, 2, Level::kScalar);
  ASSERT_TRUE(plan.ok());
  EXPECT_LT(plan->workspace_bytes(), 100000000);
}

// Sequence b of a packed call.
TestCall PartOf(const TestCall& whole, const Shape& s, size_t b) {
  const auto before = [b](const std::vector<int64_t>& lengths) {
    return b == 0 ? 0 : Prefix(lengths)[b - 1];
  };
  TestCall alone("dense_lightning_indexer_grad_kl_loss");
  for (const auto& [name, value] : whole.attributes()) alone.Set(name, value);
  for (const auto& [name, view] : whole.tensors()) {
    const bool of_keys = name.find("key") != std::string::npos;
    if (name.rfind("actual_seq_lengths", 0) == 0) {
      alone.List(name, DType::kInt32, {of_keys ? s.n[b] : s.q[b]});
      continue;
    }
    TensorView part = view;
    part.data = static_cast<char*>(view.data) +
                before(of_keys ? s.n : s.q) * view.strides[0] * base::ItemSize(view.dtype);
    part.shape[0] = of_keys ? s.n[b] : s.q[b];
    alone.View(name, part);
  }
  return alone;
}

void ExpectPartsAlike(const TestCall& whole, const Shape& s, Level level) {
  for (size_t b = 0; b < s.q.size(); ++b) {
    TestCall alone = PartOf(whole, s, b);
    ASSERT_TRUE(alone.Run({.threads = 3, .level = level}).ok());
    for (const std::string name :
         {"query_index_grad", "key_index_grad", "weights_grad", "row_loss"}) {
      const std::vector<int64_t>& lengths = name == "key_index_grad" ? s.n : s.q;
      const int64_t elems = alone.OutputElems(name);
      const int64_t begin = b == 0 ? 0 : Prefix(lengths)[b - 1] * (elems / lengths[b]);
      int64_t differ = 0;
      for (int64_t i = 0; i < elems; ++i)
        differ += alone.Got(name, i) != whole.Got(name, begin + i) ? 1 : 0;
      EXPECT_EQ(differ, 0) << name << " of sequence " << b;
    }
  }
}

// The many keys of the first sequence make chunks of 31 groups of 32 tokens: the second sequence
// begins in the first chunk and ends in the next; by itself it is in one. The third begins there.
TEST(DenseLightningIndexerWorkspace, ASequenceGivesTheSameBitsInAnyCompany) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.heads = s.kv_heads = 1;
  s.dim = 4;
  s.index_heads = 3;
  s.index_dim = 8;
  s.plain = true;
  s.q = {600, 700, 90};
  s.n = {16600, 650, 300};
  TestCall whole = Calls(s, 620).Loss();
  for (Level level : TestedLevels()) {
    if (level == Level::kScalar) continue;
    const Result<registry::Call> made = whole.WithOutputs();
    ASSERT_TRUE(made.ok());
    const std::string how = made->MakePlan({.level = level})->explanation();
    EXPECT_NE(how.find("chunks of 31 of 44 groups"), std::string::npos) << how;
    ASSERT_TRUE(whole.Run({.threads = 1, .level = level}).ok());
    ExpectPartsAlike(whole, s, level);
  }
}

}  // namespace
}  // namespace tamis::test::dense_indexer

// The gradient of lightning_indexer.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/lightning_indexer/test_calls.h"
#include "registry/compare.h"
#include "tamis/ops/lightning_indexer_grad.hpp"
#include "tests/support/conformance.h"
#include "tests/support/gradients.h"
#include "tests/support/levels.h"
#include "tests/support/refusals.h"

namespace tamis::test::indexer {
namespace {

constexpr const char* kGrad = "lightning_indexer_grad";
constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
const std::vector<std::string> kGradients = {"query_grad", "key_grad", "weights_grad"};

// Gradients of the scores in another dtype, NaN where the forward selects nothing.
void SetValueGrads(TestCall* call, DType dtype, uint64_t seed) {
  const TensorView& ids = call->view("sparse_indices");
  const std::vector<int64_t> shape(ids.shape, ids.shape + ids.rank);
  call->Strided("sparse_values_grad", dtype, shape, 3, [&](int64_t i) {
    return base::LoadAsDouble(ids.data, ids.dtype, i) < 0 ? NAN : Draw(seed, "grad", i);
  });
}

TEST(LightningIndexerGrad, AgreesOverRandomLayoutsShapesAndLengths) {
  Random random(601);
  for (int i = 0; i < 45; ++i) {
    Shape s;
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.weights = random.Below(2) == 0 ? DType::kFloat32 : s.dtype;
    s.tnd = random.Below(2) == 0;
    s.keys = s.tnd ? Keys::kTnd : Keys::kBsnd;
    s.heads = random.Between(1, 40);
    s.dim = random.Between(1, 50);
    s.count = random.Between(0, 90);
    s.mode = random.Below(2) == 0 ? 3 : 0;
    s.padding = random.Between(0, 2);
    s.gap = random.Between(0, 1) * 5;
    s.lengths = random.Below(2) == 0 ? DType::kInt32 : DType::kInt64;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Between(0, 9));
      s.n.push_back(random.Between(0, 150));
    }
    if (Prefix(s.n).back() == 0) s.n[0] = 1;
    HideSomeKeys(&s, &random);
    s.out_float32 = false;
    CompressSomeKeys(&s, &random);
    SCOPED_TRACE("case " + std::to_string(i));
    TestCall forward = Indexer(s, random.Next());
    TestCall call = GradientOf(kGrad, forward, random.Next(), s.gap);
    SetValueGrads(&call, kDTypes[static_cast<size_t>(random.Below(3))], random.Next());
    ExpectConforms(call);
  }
}

TEST(LightningIndexerGrad, AnyNumberOfHeadsAndDims) {
  for (const auto& [heads, dim] : std::vector<std::pair<int64_t, int64_t>>{
           {64, 128}, {1, 1}, {70, 24}, {2, 640}, {3, 200}, {0, 8}, {2, 0}}) {
    for (DType dtype : kDTypes) {
      Shape s;
      s.dtype = s.weights = dtype;
      s.heads = heads;
      s.dim = dim;
      s.q = {4, 3};
      s.n = {175, 3};
      s.count = 80;
      SCOPED_TRACE(testing::Message() << heads << " heads of " << dim);
      TestCall forward = Indexer(s, 610);
      TestCall call = GradientOf(kGrad, forward, 611);
      ExpectConforms(call);
    }
  }
}

// One token over eight keys, and the ids and gradients that these slots have.
TestCall OneToken(const std::vector<double>& ids, const std::vector<double>& grads) {
  Shape s;
  s.dtype = s.weights = DType::kFloat32;
  s.q = {1};
  s.n = {9};
  s.mode = 0;
  TestCall forward = Indexer(s, 620);
  TestCall call = GradientOf(kGrad, forward, 621);
  const auto slots = static_cast<int64_t>(ids.size());
  call.Tensor("sparse_indices", DType::kInt32, {1, 1, 1, slots}, Elements(ids))
      .Tensor("sparse_values_grad", DType::kFloat32, {1, 1, 1, slots}, Elements(grads));
  for (const auto& [name, view] : forward.tensors()) {  // the forward's memory ends here
    if (name == "sparse_indices" || name == "sparse_values_grad") continue;
    const std::vector<int64_t> shape(view.shape, view.shape + view.rank);
    call.Tensor(name, view.dtype, shape, [&view = view](int64_t i) {
      return base::LoadAsDouble(view.data, view.dtype, OffsetOf(view, i));
    });
  }
  return call;
}

TEST(LightningIndexerGrad, APositionThatIsNamedTwiceHasTheSumOfItsSlots) {
  TestCall twice = OneToken({5, 3, 5, 3}, {0.5, 2, 0.25, -3});
  TestCall once = OneToken({3, 5}, {-1, 0.75});
  ExpectSameBytes(twice, once);
  ExpectConforms(twice);
}

TEST(LightningIndexerGrad, SlotsThatCountNothingAreNotRead) {
  TestCall padded = OneToken({5, 40, 3, 9, -1, 2, 7}, {0.5, NAN, 2, NAN, NAN, NAN, NAN});
  TestCall plain = OneToken({5, 3}, {0.5, 2});
  ExpectSameBytes(padded, plain);
  ExpectConforms(padded);
}

TEST(LightningIndexerGrad, KeysThatStandForLaterTokensCountNothing) {
  Shape s;
  s.dtype = s.weights = DType::kFloat32;
  s.q = {7};
  s.n = {9};
  s.count = 9;
  s.ratio = 3;
  s.raw = {26};
  TestCall forward = Indexer(s, 630);
  TestCall call = GradientOf(kGrad, forward, 631);
  call.Tensor("sparse_indices", DType::kInt32, {1, 7, 1, 9}, [](int64_t i) { return 8 - i % 9; })
      .Tensor("sparse_values_grad", DType::kFloat32, {1, 7, 1, 9},
              [](int64_t i) { return Draw(632, "grad", i); });
  ExpectConforms(call);
}

TEST(LightningIndexerGrad, AScoreOfZeroHasAGradientOfZero) {
  TestCall call = OneToken({5, 3}, {0.5, 2});
  call.Tensor("query", DType::kFloat32, {1, 1, 8, 16}, [](int64_t) { return 0.0; });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (const std::string& name : kGradients) {
      for (int64_t i = 0; i < call.OutputElems(name); ++i) ASSERT_EQ(call.Got(name, i), 0) << name;
    }
  }
}

TEST(LightningIndexerGrad, WhatNoListNamesIsExactlyZeroAndTouchesNothing) {
  for (DType dtype : kDTypes) {
    Shape s;
    s.dtype = s.weights = dtype;
    s.q = {3};
    s.n = {30};
    s.padding = 1;
    s.mode = 0;
    s.count = 4;
    TestCall forward = Indexer(s, 630);
    TestCall call = GradientOf(kGrad, forward, 631);
    call.Tensor("sparse_indices", DType::kInt32, {1, 4, 1, 4},
                Elements({5, 3, 17, 2, -1, 4, 4, 4, 7, 99, 2, 7, 1, 1, 1, 1}));
    const auto named = [](int64_t row) {
      return row == 5 || row == 3 || row == 17 || row == 2 || row == 7;
    };
    const TensorView key = forward.view("key");
    const std::vector<int64_t> shape(key.shape, key.shape + key.rank);
    call.Tensor("key", dtype, shape, [&](int64_t i) {
      return named(i / s.dim) ? base::LoadAsDouble(key.data, dtype, OffsetOf(key, i)) : NAN;
    });
    ExpectConforms(call);
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (int64_t i = 0; i < call.OutputElems("key_grad"); ++i) {
        const double grad = call.Got("key_grad", i);
        EXPECT_TRUE(named(i / s.dim) ? std::isfinite(grad) : grad == 0) << i;
      }
      const auto row_is = [&](const char* name, int64_t row, int64_t count, bool zero) {
        for (int64_t i = row * count; i < (row + 1) * count; ++i) {
          const double grad = call.Got(name, i);
          EXPECT_TRUE(zero ? grad == 0 : std::isfinite(grad)) << name << " " << i;
        }
      };
      for (const int64_t row : {0, 1, 2, 3}) {  // the second list is empty, the last row is padding
        row_is("query_grad", row, s.heads * s.dim, row % 2 == 1);
        row_is("weights_grad", row, s.heads, row % 2 == 1);
      }
    }
  }
}

TEST(LightningIndexerGrad, WhatIsNotAskedForMovesNothingElse) {
  Shape s;
  s.q = {40};
  s.n = {50};
  TestCall forward = Indexer(s, 640);
  TestCall all = GradientOf(kGrad, forward, 641);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(all.Run({.threads = 2, .level = level}).ok());
    for (const std::string& kept : kGradients) {
      TestCall one = GradientOf(kGrad, forward, 641);
      for (const std::string& other : kGradients) {
        if (other != kept) one.Set("return_" + other, false).Omit(other);
      }
      ASSERT_TRUE(one.Run({.threads = 2, .level = level}).ok());
      EXPECT_EQ(one.memory(kept).bytes, all.memory(kept).bytes) << kept;
    }
  }
}

TEST(LightningIndexerGrad, WrongArgumentsAreRefused) {
  const TestCall call = OneToken({5, 3}, {0.5, 2});
  ExpectRefusedAfter(call, With("sparse_mode", int64_t{1}), "sparse_mode");
  ExpectRefusedAfter(call, With("layout_key", "TND"), "key");
  ExpectRefusedAfter(call, Filled("weights", DType::kFloat16, {1, 1, 8}), "weights");
  ExpectRefusedAfter(call, Filled("sparse_values_grad", DType::kFloat32, {1, 1, 1, 3}),
                     "sparse_indices");
  ExpectRefusedAfter(call, Filled("key", DType::kFloat32, {1, 9, 2, 16}), "key");
  ExpectRefusedAfter(call, Without("sparse_values_grad"), "sparse_values_grad",
                     StatusCode::kNullArgument);
}

// --- chunks and workspace

Shape LongLists() {
  Shape s;
  s.heads = 3;
  s.dim = 8;
  s.mode = 0;
  s.count = 2048;
  return s;
}

// Chunks, sequences that go over their ends, and any thread: the same bits as alone.
TEST(LightningIndexerGrad, ASequenceGivesTheSameBitsInAnyCompany) {
  Shape s = LongLists();
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.q = {150, 500, 300};
  s.n = {2100, 2048, 2500};
  TestCall forward = Indexer(s, 650);
  TestCall packed = GradientOf(kGrad, forward, 651);
  for (Level level : TestedLevels()) {
    const Result<registry::Call> made = packed.WithOutputs();
    ASSERT_TRUE(made.ok());
    const std::string how = made->MakePlan({.level = level})->explanation();
    EXPECT_NE(how.find("chunks of 481 of 950 tokens"), std::string::npos) << how;
    ASSERT_TRUE(packed.Run({.threads = 1, .level = level}).ok());
    ExpectSequencesAlone(packed, kGrad, s.q, s.n, level, kGradients);
  }
}

TEST(LightningIndexerGrad, SumsThatWaitBetweenChunksAreRight) {
  Shape s = LongLists();
  s.q = {600};
  s.n = {2100};
  TestCall forward = Indexer(s, 660);
  TestCall call = GradientOf(kGrad, forward, 661);
  for (Level level : TestedLevels()) {
    Result<registry::Call> made = call.WithOutputs();
    ASSERT_TRUE(made.ok());
    const Result<Plan> plan = made->MakePlan({.level = level});
    ASSERT_TRUE(plan.ok() && plan->run().ok());
    EXPECT_NE(plan->explanation().find("chunks of 481 of 600"), std::string::npos)
        << plan->explanation();
    const auto compared =
        registry::CompareWithReference(made->op(), made->params(), {0, 599, 600, 1500, 2699}, 2);
    ASSERT_TRUE(compared.ok()) << compared.status().message();
    for (const registry::OutputComparison& c : *compared) EXPECT_TRUE(c.ok()) << c.first_mismatch;
  }
}

struct Sizes {
  int64_t tokens, slots, heads, dim;
};

// Of one sequence that is its own keys.
int64_t PlannedBytes(const Sizes& s, Level level) {
  constexpr DType kType = DType::kBFloat16;
  lightning_indexer_grad::Params p;
  p.query = p.query_grad = {nullptr, kType, {1, s.tokens, s.heads, s.dim}};
  p.key = p.key_grad = {nullptr, kType, {1, s.tokens, 1, s.dim}};
  p.weights = p.weights_grad = {nullptr, kType, {1, s.tokens, s.heads}};
  p.sparse_indices = {nullptr, DType::kInt32, {1, s.tokens, 1, s.slots}};
  p.sparse_values_grad = {nullptr, kType, {1, s.tokens, 1, s.slots}};
  const Result<Plan> plan = lightning_indexer_grad::plan(p, {.threads = 2, .level = level});
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return plan.ok() ? plan->workspace_bytes() : -1;
}

// The formula of the room's page.
TEST(LightningIndexerGrad, WorkspaceIsThatOfTheFormula) {
  const auto lines = [](int64_t floats) { return (floats + 15) / 16 * 16; };
  for (const Sizes& s :
       {Sizes{32768, 2048, 64, 128}, Sizes{50, 12, 3, 12}, Sizes{300, 400, 5, 700}}) {
    const int64_t list = std::min(s.slots, s.tokens);
    const int64_t tiles = (list + 63) / 64 * 64;
    const int64_t heads = lines(s.heads);
    const int64_t left = 16 + lines(list) + tiles * heads;
    const int64_t chunk = std::min(s.tokens, std::max<int64_t>(4, (int64_t{1} << 24) / left));
    const int64_t stride = s.dim <= 208 ? 208 : 16 * ((s.dim + 15) / 16 | 1);
    const int64_t first = 2 * lines(list) + 2048 + 2 * tiles + heads * lines(s.dim) + 64 * stride +
                          lines((s.heads + 1) * lines(s.dim)) + 2 * heads;
    const int64_t second = 1024 * 192 + 192 + 192 * s.heads;
    const int64_t waiting = chunk < s.tokens ? s.tokens * ((s.dim + 191) / 192) * 192 : 0;
    for (Level level : TestedLevels())
      EXPECT_EQ(PlannedBytes(s, level), 4 * (2 * std::max(first, second) + chunk * left + waiting));
  }
}

TEST(LightningIndexerGrad, TokensOf32KTakeLessThan128MB) {
  const int64_t bytes = PlannedBytes({32768, 2048, 64, 128}, Level::kScalar);
  EXPECT_GT(bytes, 0);
  EXPECT_LT(bytes, 128000000);
}

}  // namespace
}  // namespace tamis::test::indexer

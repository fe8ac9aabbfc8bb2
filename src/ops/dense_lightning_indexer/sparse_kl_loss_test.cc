// sparse_lightning_indexer_grad_kl_loss.
#include <algorithm>

#include "ops/dense_lightning_indexer/test_calls.h"
#include "tamis/ops/sparse_lightning_indexer_grad_kl_loss.hpp"
#include "tests/support/conformance.h"
#include "tests/support/gradients.h"
#include "tests/support/levels.h"

namespace tamis::test::dense_indexer {
namespace {

constexpr const char* kOperator = "sparse_lightning_indexer_grad_kl_loss";
constexpr const char* kGradients[] = {"query_index_grad", "key_index_grad", "weights_grad"};

Shape Latent() {
  Shape s;
  s.kv_heads = 1;
  return s;
}

TEST(SparseLightningIndexerGradKlLoss, LayoutsDtypesAndRaggedLengths) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (bool tnd : {false, true}) {
      for (int64_t mode : {0, 3}) {
        Shape s = Latent();
        s.dtype = dtype;
        s.tnd = tnd;
        s.keys = tnd ? Keys::kTnd : Keys::kBsnd;
        s.q = {3, 40, 0, 1, 9};
        s.n = {40, 70, 9, 0, 4};
        s.mode = mode;
        s.padding = 2;
        s.gap = tnd ? 3 : 0;
        s.weights_float32 = mode == 0;
        s.scaled = tnd;
        s.sinks = mode == 3;
        s.rope = mode == 0 ? 0 : 5;
        SCOPED_TRACE(testing::Message() << "tnd " << tnd << ", mode " << mode);
        TestCall call = Calls(s, 700).Sparse();
        ExpectConforms(call);
      }
    }
  }
}

TEST(SparseLightningIndexerGradKlLoss, AnyNumberOfHeadsDimsAndSlots) {
  struct Case {
    int64_t heads, dim, rope, index_heads, index_dim, count;
  };
  for (const Case& c :
       {Case{1, 1, 0, 1, 1, 1}, Case{4, 33, 7, 5, 40, 80}, Case{40, 200, 64, 8, 16, 3},
        Case{3, 640, 0, 70, 24, 150}, Case{2, 16, 0, 2, 600, 64}, Case{2, 8, 0, 0, 8, 9},
        Case{2, 0, 0, 2, 0, 9}, Case{2, 8, 0, 2, 8, 0}}) {
    Shape s = Latent();
    s.heads = c.heads;
    s.dim = c.dim;
    s.rope = c.rope;
    s.index_heads = c.index_heads;
    s.index_dim = c.index_dim;
    s.count = c.count;
    s.q = {9, 5};
    s.n = {175, 3};
    SCOPED_TRACE(testing::Message() << c.heads << " heads, " << c.count << " slots");
    TestCall call = Calls(s, 710).Sparse();
    ExpectConforms(call);
  }
}

// The same call with other elements of a tensor. What it is made of stays alive.
TestCall Changed(TestCall call, const std::string& name,
                 const std::function<double(int64_t, double)>& value) {
  const TensorView view = call.view(name);
  const std::vector<int64_t> shape(view.shape, view.shape + view.rank);
  call.Tensor(name, view.dtype, shape, [&](int64_t i) {
    return value(i, base::LoadAsDouble(view.data, view.dtype, OffsetOf(view, i)));
  });
  return call;
}

TEST(SparseLightningIndexerGradKlLoss, WhereTheLossIsClampedTheGradientIsNot) {
  Shape s = Latent();
  s.dtype = DType::kFloat32;
  s.sharpness = 12;
  s.q = {8};
  s.n = {40};
  TestCall call = Calls(s, 720).Sparse();
  ExpectConforms(call);
}

TEST(SparseLightningIndexerGradKlLoss, StatisticsOfOtherScoresAreTakenAsTheyAre) {
  Shape s = Latent();
  s.q = {20};
  s.n = {50};
  for (bool sinks : {false, true}) {
    s.sinks = sinks;
    TestCall moved = Changed(Calls(s, 730).Sparse(), "softmax_max", [](int64_t i, double x) {
      return x + static_cast<double>(i % 5 - 2);
    });
    ExpectConforms(moved);
  }
}

// A list of all keys has the dense loss, whose statistics of the indexer are those of the list.
TEST(SparseLightningIndexerGradKlLoss, AListOfAllKeysHasTheDenseLoss) {
  Shape s = Latent();
  s.dtype = DType::kFloat32;
  s.q = {40};
  s.n = {40};
  s.mode = 0;
  TestCall dense = Calls(s, 740).Loss();
  TestCall sparse(kOperator);
  for (const auto& [name, value] : dense.attributes()) sparse.Set(name, value);
  for (const auto& [name, view] : dense.tensors()) {
    if (name != "softmax_max_index" && name != "softmax_sum_index") sparse.View(name, view);
  }
  sparse.Tensor("sparse_indices", DType::kInt32, {1, 40, 1, 40},
                [](int64_t i) { return static_cast<double>(39 - i % 40); });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(dense.Run({.level = level}).ok());
    ASSERT_TRUE(sparse.Run({.level = level}).ok());
    EXPECT_NEAR(sparse.Got("loss", 0), dense.Got("loss", 0), 1e-4);
    for (const char* name : kGradients) {
      for (int64_t i = 0; i < dense.OutputElems(name); ++i)
        ASSERT_NEAR(sparse.Got(name, i), dense.Got(name, i), 1e-4) << name << " " << i;
    }
  }
}

TEST(SparseLightningIndexerGradKlLoss, WhatNoListNamesIsExactlyZeroAndTouchesNothing) {
  Shape s = Latent();
  s.q = {3};
  s.n = {30};
  s.mode = 0;
  s.count = 4;
  TestCall call = Calls(s, 750).Sparse();
  const std::vector<double> ids = {5, 3, 17, 2, -1, 4, 4, 4, 7, 99, 2, 7};
  call.Tensor("sparse_indices", DType::kInt32, {1, 3, 1, 4}, Elements(ids));
  const auto named = [](int64_t row) {
    return row == 5 || row == 3 || row == 17 || row == 2 || row == 7;
  };
  for (const char* name : {"key", "key_index"}) {
    const int64_t dim = std::string(name) == "key" ? s.dim : s.index_dim;
    call = Changed(std::move(call), name,
                   [&](int64_t i, double x) { return named(i / dim) ? x : NAN; });
  }
  ExpectConforms(call);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_TRUE(std::isfinite(call.Got("loss", 0)));
    for (int64_t i = 0; i < call.OutputElems("key_index_grad"); ++i) {
      const double grad = call.Got("key_index_grad", i);
      EXPECT_TRUE(named(i / s.index_dim) ? std::isfinite(grad) : grad == 0) << i;
    }
    EXPECT_EQ(call.Got("row_loss", 1), 0) << "an empty list";
    for (int64_t g = 0; g < s.index_heads; ++g)
      EXPECT_EQ(call.Got("weights_grad", s.index_heads + g), 0);
  }
}

TEST(SparseLightningIndexerGradKlLoss, WhatIsNotAskedForMovesNothingElse) {
  Shape s = Latent();
  s.q = {40};
  s.n = {50};
  TestCall all = Calls(s, 760).Sparse();
  ASSERT_TRUE(all.Run({.threads = 2}).ok());
  for (const char* left_out : kGradients) {
    TestCall call = Calls(s, 760).Sparse();
    call.Set(std::string("return_") + left_out, false).Omit(left_out);
    ASSERT_TRUE(call.Run({.threads = 2}).ok());
    EXPECT_EQ(call.Got("loss", 0), all.Got("loss", 0));
    for (const char* name : kGradients) {
      if (std::string(name) == left_out) continue;
      EXPECT_EQ(call.memory(name).bytes, all.memory(name).bytes) << name << " without " << left_out;
    }
  }
}

TEST(SparseLightningIndexerGradKlLoss, WrongArgumentsAreRefused) {
  Shape s = Latent();
  s.rope = 4;
  s.sinks = true;
  const TestCall call = Calls(s, 770).Sparse();
  ExpectRefusedAfter(call, With("sparse_mode", int64_t{2}), "sparse_mode");
  ExpectRefusedAfter(call, Without("key_rope"), "key_rope");
  ExpectRefusedAfter(call, Filled("weights", DType::kFloat16, {1, 3, 3}), "weights");
  ExpectRefusedAfter(call, Filled("sinks", DType::kFloat32, {5}), "sinks");
  ExpectRefusedAfter(call, Filled("key", DType::kBFloat16, {1, 43, 2, 20}), "key");
  ExpectRefusedAfter(call, Without("sparse_indices"), "sparse_indices", StatusCode::kNullArgument);
}

TEST(SparseLightningIndexerGradKlLoss, StrictHasTheLimitsOfTheDocument) {
  Shape fine = Latent();
  fine.q = {1};
  fine.n = {2};
  fine.heads = 32;
  fine.dim = 512;
  fine.index_dim = 128;
  fine.rope = 64;
  fine.index_heads = 8;
  fine.count = 1024;
  ExpectAllowedByStrict(Calls(fine, 790).Sparse());
  const auto refused = [&](const std::function<void(Shape*)>& change, const std::string& argument) {
    Shape s = fine;
    change(&s);
    ExpectRefusedByStrictAlone(Calls(s, 790).Sparse(), argument);
  };
  refused([](Shape* s) { s->heads = 16; }, "query");
  refused([](Shape* s) { s->dim = 128; }, "query");
  refused([](Shape* s) { s->rope = 32; }, "query_rope");
  refused([](Shape* s) { s->index_heads = 4; }, "query_index");
  refused([](Shape* s) { s->index_dim = 64; }, "query_index");
  refused([](Shape* s) { s->count = 512; }, "sparse_indices");
  refused([](Shape* s) { s->mode = 0; }, "sparse_mode");
}

// --- chunks and workspace

int64_t Lines(int64_t floats) { return (floats + 15) / 16 * 16; }
int64_t Stride(int64_t dim) {
  return dim <= 208 ? 208 : dim <= 592 ? 592 : 16 * ((dim + 15) / 16 | 1);
}

// Of one sequence that is its own keys.
TEST(SparseLightningIndexerGradKlLoss, WorkspaceIsThatOfTheFormula) {
  struct Sizes {
    int64_t tokens, slots, heads, dim, rope, index_heads, index_dim;
  };
  for (const Sizes& s : {Sizes{32768, 2048, 128, 512, 64, 64, 128}, Sizes{50, 12, 6, 20, 5, 3, 12},
                         Sizes{300, 400, 2, 640, 16, 5, 700}}) {
    constexpr DType kType = DType::kBFloat16;
    sparse_lightning_indexer_grad_kl_loss::Params p;
    p.query = {nullptr, kType, {1, s.tokens, s.heads, s.dim}};
    p.key = {nullptr, kType, {1, s.tokens, 1, s.dim}};
    p.query_rope = {nullptr, kType, {1, s.tokens, s.heads, s.rope}};
    p.key_rope = {nullptr, kType, {1, s.tokens, 1, s.rope}};
    p.query_index =
        p.query_index_grad = {nullptr, kType, {1, s.tokens, s.index_heads, s.index_dim}};
    p.key_index = p.key_index_grad = {nullptr, kType, {1, s.tokens, 1, s.index_dim}};
    p.weights = p.weights_grad = {nullptr, kType, {1, s.tokens, s.index_heads}};
    p.sparse_indices = {nullptr, DType::kInt32, {1, s.tokens, 1, s.slots}};
    p.softmax_max = p.softmax_sum = {nullptr, DType::kFloat32, {1, s.tokens, s.heads}};
    p.scale_value = 0.1;
    p.loss = {nullptr, DType::kFloat32, {1}};
    const Result<Plan> plan =
        sparse_lightning_indexer_grad_kl_loss::plan(p, {.threads = 2, .level = Level::kScalar});
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    const int64_t list = std::min(s.slots, s.tokens);
    const int64_t tiles = (list + 63) / 64 * 64;
    const int64_t index = Lines(s.index_heads);
    const int64_t left = 16 + Lines(list) + tiles * index;
    const int64_t chunk = std::min(s.tokens, std::max<int64_t>(4, (int64_t{1} << 24) / left));
    const int64_t strips = (s.index_dim + 191) / 192;
    const int64_t dim = s.dim + s.rope;
    const int64_t first =
        Lines(list) + 2048 + tiles + index * Lines(s.index_dim) + 64 * Stride(s.index_dim) +
        Lines((s.index_heads + 1) * Lines(s.index_dim)) + 2 * index + tiles +
        Lines(s.heads) * Lines(dim) + 64 * Stride(dim) + 66 * Lines(s.heads) + 2 * tiles;
    const int64_t second = 1024 * 192 + 192 + 192 * s.index_heads;
    const int64_t waiting = chunk < s.tokens ? s.tokens * strips * 192 : 0;
    EXPECT_EQ(plan->workspace_bytes(),
              4 * (2 * std::max(first, second) + chunk * left + waiting + Lines(s.tokens)));
  }
}

// Chunks, sequences that go over their ends, and any thread: the same bits as alone.
TEST(SparseLightningIndexerGradKlLoss, ASequenceGivesTheSameBitsInAnyCompany) {
  Shape s = Latent();
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.heads = 1;
  s.dim = 4;
  s.index_dim = 8;
  s.plain = true;
  s.mode = 0;
  s.count = 2048;
  s.q = {150, 500, 300};
  s.n = {2100, 2048, 2500};
  TestCall whole = Calls(s, 780).Sparse();
  for (Level level : TestedLevels()) {
    if (level == Level::kScalar) continue;
    const Result<registry::Call> made = whole.WithOutputs();
    ASSERT_TRUE(made.ok());
    const std::string how = made->MakePlan({.level = level})->explanation();
    EXPECT_NE(how.find("chunks of 481 of 950 tokens"), std::string::npos) << how;
    ASSERT_TRUE(whole.Run({.threads = 1, .level = level}).ok());
    ExpectSequencesAlone(whole, kOperator, s.q, s.n, level,
                         {"query_index_grad", "key_index_grad", "weights_grad", "row_loss"});
  }
}

}  // namespace
}  // namespace tamis::test::dense_indexer

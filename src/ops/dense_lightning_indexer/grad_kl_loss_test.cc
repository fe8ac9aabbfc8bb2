// dense_lightning_indexer_grad_kl_loss.
#include "ops/dense_lightning_indexer/test_calls.h"
#include "tamis/ops/dense_lightning_indexer_grad_kl_loss.hpp"
#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test::dense_indexer {
namespace {

constexpr const char* kGradients[] = {"query_index_grad", "key_index_grad", "weights_grad"};

Shape Packed(const Shape& of) {
  Shape s = of;
  s.tnd = true;
  s.keys = Keys::kTnd;
  return s;
}

TEST(DenseLightningIndexerGradKlLoss, LayoutsDtypesAndRaggedLengths) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (bool tnd : {false, true}) {
      for (int64_t mode : {0, 3}) {
        Shape s;
        s.dtype = dtype;
        if (tnd) s = Packed(s);
        s.q = {3, 40, 0, 1, 9};
        s.n = {40, 70, 9, 0, 4};
        s.mode = mode;
        s.padding = 2;
        s.gap = tnd ? 3 : 0;
        s.weights_float32 = mode == 0;
        s.scaled = tnd;
        s.rope = mode == 0 ? 0 : 5;
        SCOPED_TRACE(testing::Message() << "tnd " << tnd << ", mode " << mode);
        TestCall call = Calls(s, 500).Loss();
        ExpectConforms(call);
      }
    }
  }
}

TEST(DenseLightningIndexerGradKlLoss, AnyNumberOfHeadsAndDims) {
  struct Case {
    int64_t heads, kv_heads, dim, rope, index_heads, index_dim;
  };
  for (const Case& c :
       {Case{1, 1, 1, 0, 1, 1}, Case{4, 4, 33, 7, 5, 40}, Case{2, 1, 200, 64, 8, 16},
        Case{3, 1, 640, 0, 17, 24}, Case{2, 2, 16, 0, 2, 600}, Case{2, 1, 8, 0, 0, 8},
        Case{2, 1, 0, 0, 2, 0}}) {
    Shape s;
    s.heads = c.heads;
    s.kv_heads = c.kv_heads;
    s.dim = c.dim;
    s.rope = c.rope;
    s.index_heads = c.index_heads;
    s.index_dim = c.index_dim;
    s.q = {20, 5};
    s.n = {75, 3};
    SCOPED_TRACE(testing::Message() << c.heads << " heads, dims " << c.dim << ", " << c.index_dim);
    TestCall call = Calls(s, 510).Loss();
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

// Weights so sharp that most keys have q below 1e-8: the loss is clamped there, the gradient not.
TEST(DenseLightningIndexerGradKlLoss, WhereTheLossIsClampedTheGradientIsNot) {
  Shape s;
  s.dtype = DType::kFloat32;
  s.sharpness = 12;
  s.q = {8};
  s.n = {40};
  TestCall call = Calls(s, 520).Loss();
  ExpectConforms(call);
  Shape other = s;
  other.dtype = DType::kBFloat16;
  TestCall rounded = Calls(other, 521).Loss();
  ExpectConforms(rounded);
}

TEST(DenseLightningIndexerGradKlLoss, StatisticsOfOtherScoresAreTakenAsTheyAre) {
  Shape s;
  s.q = {20};
  s.n = {50};
  const TestCall call = Calls(s, 530).Loss();
  for (const char* name : {"softmax_max", "softmax_max_index"}) {
    TestCall moved =
        Changed(call, name, [](int64_t i, double x) { return x + static_cast<double>(i % 5 - 2); });
    ExpectConforms(moved);
  }
  for (const char* name : {"softmax_sum", "softmax_sum_index"}) {
    TestCall moved = Changed(
        call, name, [](int64_t i, double x) { return x / (static_cast<double>(i % 3) + 0.5); });
    ExpectConforms(moved);
  }
}

TEST(DenseLightningIndexerGradKlLoss, ATokenOfScaleZeroIsPadding) {
  Shape s;
  s.scaled = true;  // tokens of scale 0 hold NaN
  s.q = {40};
  s.n = {70};
  TestCall call = Calls(s, 540).Loss();
  ExpectConforms(call);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.threads = 2, .level = level}).ok());
    for (int64_t row = 2; row < 40; row += 4) {
      EXPECT_EQ(call.Got("row_loss", row), 0);
      for (int64_t i = 0; i < s.index_heads; ++i)
        EXPECT_EQ(call.Got("weights_grad", row * s.index_heads + i), 0);
      for (int64_t i = 0; i < s.index_heads * s.index_dim; ++i)
        EXPECT_EQ(call.Got("query_index_grad", row * s.index_heads * s.index_dim + i), 0);
    }
  }
}

// One key, both distributions 1: nothing is lost, and there is nothing to learn.
TEST(DenseLightningIndexerGradKlLoss, OneKeyLosesNothing) {
  TestCall call("dense_lightning_indexer_grad_kl_loss");
  const auto ones = [](int64_t) { return 1.0; };
  for (const char* name : {"query", "key", "query_index", "key_index"})
    call.Tensor(name, DType::kBFloat16, {1, 1, 1, 4}, ones);
  call.Tensor("weights", DType::kBFloat16, {1, 1, 1}, ones);
  for (const char* name : {"softmax_max", "softmax_sum"})
    call.Tensor(name, DType::kFloat32, {1, 1, 1}, ones);
  for (const char* name : {"softmax_max_index", "softmax_sum_index"})
    call.Tensor(name, DType::kFloat32, {1, 1},
                [&](int64_t) { return std::string(name) == "softmax_max_index" ? 4.0 : 1.0; });
  call.Set("scale_value", 0.25);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.threads = 1, .level = level}).ok());
    EXPECT_EQ(call.Got("loss", 0), 0);
    for (const char* name : kGradients) {
      for (int64_t i = 0; i < call.OutputElems(name); ++i) EXPECT_EQ(call.Got(name, i), 0) << name;
    }
  }
}

// The gradient of relu is 0 at 0: scores of exactly 0 move nothing but by other heads.
TEST(DenseLightningIndexerGradKlLoss, AScoreOfZeroHasNoGradient) {
  Shape s;
  s.index_heads = 2;
  s.q = {5};
  s.n = {30};
  TestCall call = Changed(Calls(s, 550).Loss(), "query_index",
                          [&](int64_t i, double x) { return i / s.index_dim % 2 == 0 ? 0.0 : x; });
  ExpectConforms(call);
  for (int64_t row = 0; row < 5; ++row) {
    EXPECT_EQ(call.Got("weights_grad", row * 2), 0);
    for (int64_t c = 0; c < s.index_dim; ++c)
      EXPECT_EQ(call.Got("query_index_grad", row * 2 * s.index_dim + c), 0);
  }
}

// Of a call and one with NaN in a key that tokens from `from` on see.
void ExpectUntouched(const TestCall& plain, const TestCall& poisoned, int64_t from,
                     int64_t tokens) {
  for (const char* name : {"query_index_grad", "weights_grad", "row_loss"}) {
    const int64_t elems = plain.OutputElems(name) / tokens;
    for (int64_t i = 0; i < from * elems; ++i)
      ASSERT_EQ(poisoned.Got(name, i), plain.Got(name, i)) << name << " " << i;
  }
  for (int64_t row = from; row < tokens; ++row)
    EXPECT_TRUE(std::isnan(poisoned.Got("row_loss", row))) << row;
}

TEST(DenseLightningIndexerGradKlLoss, NaNReachesThoseWhoSeeItAlone) {
  Shape s;
  s.q = {70};
  s.n = {70};
  TestCall plain = Calls(s, 560).Loss();
  for (const char* name : {"key", "key_index"}) {
    const int64_t row = std::string(name) == "key" ? s.kv_heads * s.dim : s.index_dim;
    TestCall poisoned =
        Changed(plain, name, [&](int64_t i, double x) { return i / row == 40 ? NAN : x; });
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(plain.Run({.threads = 2, .level = level}).ok());
      ASSERT_TRUE(poisoned.Run({.threads = 2, .level = level}).ok());
      ExpectUntouched(plain, poisoned, 40, 70);
    }
  }
}

// A token's own NaN reaches the keys that it sees: of the first token of 70, one.
TEST(DenseLightningIndexerGradKlLoss, NaNOfATokenReachesTheKeysThatItSeesAlone) {
  Shape s;
  s.q = {70};
  s.n = {70};
  TestCall plain = Calls(s, 570).Loss();
  const int64_t row = s.index_heads * s.index_dim;
  TestCall poisoned = Changed(plain, "query_index",
                              [&](int64_t i, double x) { return i / row == 3 ? kInfinity : x; });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(plain.Run({.threads = 2, .level = level}).ok());
    ASSERT_TRUE(poisoned.Run({.threads = 2, .level = level}).ok());
    for (int64_t i = 4 * s.index_dim; i < 70 * s.index_dim; ++i) {
      ASSERT_EQ(poisoned.Got("key_index_grad", i), plain.Got("key_index_grad", i)) << i;
    }
    for (int64_t i = 0; i < plain.OutputElems("row_loss"); ++i) {
      if (i == 3) continue;
      ASSERT_EQ(poisoned.Got("row_loss", i), plain.Got("row_loss", i)) << i;
    }
  }
}

TEST(DenseLightningIndexerGradKlLoss, AKeyThatNobodySeesGetsZero) {
  Shape s;
  s.q = {0, 6};
  s.n = {9, 4};
  TestCall call = Calls(s, 580).Loss();  // keys of the first sequence are seen by nobody
  const TensorView keys = call.view("key_index");
  const int64_t padded = keys.shape[1];
  for (const char* name : {"key", "key_index"}) {
    const int64_t row = std::string(name) == "key" ? s.kv_heads * s.dim : s.index_dim;
    call = Changed(std::move(call), name,
                   [&](int64_t i, double x) { return i / row < padded ? NAN : x; });
  }
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.threads = 2, .level = level}).ok());
    for (int64_t i = 0; i < call.OutputElems("key_index_grad"); ++i) {
      const int64_t row = i / s.index_dim;
      const bool seen = row >= padded && row < padded + 4;
      const double grad = call.Got("key_index_grad", i);
      EXPECT_TRUE(seen ? std::isfinite(grad) : grad == 0) << i << ": " << grad;
    }
    EXPECT_TRUE(std::isfinite(call.Got("loss", 0)));
  }
}

TEST(DenseLightningIndexerGradKlLoss, WhatIsNotAskedForMovesNothingElse) {
  Shape s;
  s.q = {40};
  s.n = {50};
  TestCall all = Calls(s, 590).Loss();
  ASSERT_TRUE(all.Run({.threads = 2}).ok());
  for (const char* left_out : kGradients) {
    TestCall call = Calls(s, 590).Loss();
    call.Set(std::string("return_") + left_out, false).Omit(left_out);
    ASSERT_TRUE(call.Run({.threads = 2}).ok());
    EXPECT_EQ(call.Got("loss", 0), all.Got("loss", 0));
    for (const char* name : kGradients) {
      if (std::string(name) == left_out) continue;
      EXPECT_EQ(call.memory(name).bytes, all.memory(name).bytes) << name << " without " << left_out;
    }
  }
}

TEST(DenseLightningIndexerGradKlLoss, WrongArgumentsAreRefused) {
  Shape s;
  s.rope = 4;
  const TestCall call = Calls(s, 600).Loss();
  ExpectRefusedAfter(call, With("sparse_mode", int64_t{2}), "sparse_mode");
  ExpectRefusedAfter(call, Without("key_rope"), "key_rope");
  ExpectRefusedAfter(call, Without("query_rope"), "query_rope");
  ExpectRefusedAfter(call, Filled("weights", DType::kFloat16, {1, 3, 3}), "weights");
  ExpectRefusedAfter(call, Filled("row_scale", DType::kFloat32, {1, 4}), "row_scale");
  ExpectRefusedAfter(call, Without("softmax_sum_index"), "softmax_sum_index",
                     StatusCode::kNullArgument);
  s.kv_heads = 4;
  s.heads = 4;
  ExpectRefusedAfter(Calls(s, 600).Loss(), Filled("key", DType::kBFloat16, {1, 43, 3, 20}), "key");
}

TEST(DenseLightningIndexerGradKlLoss, ALossIsOneNumber) {
  TestCall call = Calls(Shape(), 605).Loss();
  const Result<registry::Call> made = call.WithOutputs();
  ASSERT_TRUE(made.ok());
  dense_lightning_indexer_grad_kl_loss::Params params =
      *static_cast<const dense_lightning_indexer_grad_kl_loss::Params*>(made->params());
  params.loss.shape[0] = 2;
  EXPECT_EQ(dense_lightning_indexer_grad_kl_loss::run(params).message(),
            "loss: expected shape [1], got [2]");
}

TEST(DenseLightningIndexerGradKlLoss, StrictHasTheLimitsOfTheDocument) {
  Shape fine;
  fine.q = {1};
  fine.n = {2};
  fine.heads = fine.kv_heads = 32;
  fine.dim = fine.index_dim = 128;
  fine.rope = 64;
  fine.index_heads = 8;
  ExpectAllowedByStrict(Calls(fine, 610).Loss());
  const auto refused = [&](const std::function<void(Shape*)>& change, const std::string& argument) {
    Shape s = fine;
    change(&s);
    ExpectRefusedByStrictAlone(Calls(s, 610).Loss(), argument);
  };
  refused([](Shape* s) { s->heads = s->kv_heads = 16; }, "query");
  refused([](Shape* s) { s->kv_heads = 1; }, "key");
  refused([](Shape* s) { s->dim = 64; }, "query");
  refused([](Shape* s) { s->rope = 32; }, "query_rope");
  refused([](Shape* s) { s->index_heads = 4; }, "query_index");
  refused([](Shape* s) { s->index_dim = 64; }, "query_index");
  refused([](Shape* s) { s->mode = 0; }, "sparse_mode");
  refused([](Shape* s) { s->dtype = DType::kFloat32; }, "query");
}

}  // namespace
}  // namespace tamis::test::dense_indexer

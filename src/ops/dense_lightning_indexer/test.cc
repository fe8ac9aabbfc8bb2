// dense_lightning_indexer_softmax_lse.
#include "ops/dense_lightning_indexer/test_calls.h"
#include "tamis/ops/dense_lightning_indexer_softmax_lse.hpp"
#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test::dense_indexer {
namespace {

TEST(DenseLightningIndexerSoftmaxLse, LayoutsDtypesAndRaggedLengths) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (bool tnd : {false, true}) {
      for (int64_t mode : {0, 3}) {
        Shape s;
        s.dtype = dtype;
        s.tnd = tnd;
        s.keys = tnd ? Keys::kTnd : Keys::kBsnd;
        s.q = {3, 70, 0, 1, 9};
        s.n = {40, 130, 9, 0, 4};
        s.mode = mode;
        s.padding = 2;
        s.gap = tnd ? 3 : 0;
        s.weights_float32 = mode == 0;
        SCOPED_TRACE(testing::Message() << "tnd " << tnd << ", mode " << mode);
        TestCall call = Calls(s, 400).Lse();
        ExpectConforms(call);
      }
    }
  }
}

TEST(DenseLightningIndexerSoftmaxLse, AnyNumberOfHeadsAndDims) {
  for (const auto& [heads, dim] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {64, 128}, {5, 33}, {17, 640}, {0, 16}, {2, 0}}) {
    Shape s;
    s.index_heads = heads;
    s.index_dim = dim;
    s.q = {40};
    s.n = {90};
    SCOPED_TRACE(testing::Message() << heads << " heads of " << dim);
    TestCall call = Calls(s, 410).Lse();
    ExpectConforms(call);
  }
}

TEST(DenseLightningIndexerSoftmaxLse, ATokenWithoutKeysGivesMinusInfinityAndZero) {
  Shape s;
  s.q = {6};
  s.n = {4};
  s.padding = 1;
  TestCall call = Calls(s, 420).Lse();
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.threads = 2, .level = level}).ok());
    for (const int64_t row : {0, 1, 6}) {
      EXPECT_EQ(call.Got("softmax_max_index", row), -kInfinity);
      EXPECT_EQ(call.Got("softmax_sum_index", row), 0);
    }
    EXPECT_EQ(call.Got("softmax_sum_index", 2), 1);  // one key
  }
}

TEST(DenseLightningIndexerSoftmaxLse, HostileKeysTouchNobodyWhoDoesNotSeeThem) {
  Shape s;
  s.q = {70};
  s.n = {70};
  TestCall plain = Calls(s, 430).Lse();
  TestCall poisoned = Calls(s, 430).Lse();
  const TensorView& keys = plain.view("key_index");
  poisoned.Tensor("key_index", s.dtype, {1, keys.shape[1], 1, s.index_dim}, [&](int64_t i) {
    const int64_t position = i / s.index_dim;
    return position == 40 ? NAN : base::LoadAsDouble(keys.data, keys.dtype, i);
  });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(plain.Run({.threads = 1, .level = level}).ok());
    ASSERT_TRUE(poisoned.Run({.threads = 1, .level = level}).ok());
    for (const char* output : {"softmax_max_index", "softmax_sum_index"}) {
      for (int64_t row = 0; row < 40; ++row)
        EXPECT_EQ(poisoned.Got(output, row), plain.Got(output, row)) << output << " " << row;
      for (int64_t row = 40; row < 70; ++row)
        EXPECT_TRUE(std::isnan(poisoned.Got(output, row))) << output << " " << row;
    }
  }
}

TEST(DenseLightningIndexerSoftmaxLse, WrongArgumentsAreRefused) {
  const TestCall call = Calls(Shape(), 440).Lse();
  ExpectRefusedAfter(call, With("sparse_mode", int64_t{1}), "sparse_mode");
  ExpectRefusedAfter(call, Filled("weights", DType::kFloat16, {1, 3, 3}), "weights");
  Shape packed;
  packed.tnd = true;
  packed.keys = Keys::kTnd;
  ExpectRefusedAfter(Calls(packed, 441).Lse(), Without("actual_seq_lengths_key"),
                     "actual_seq_lengths_key", StatusCode::kNullArgument);
}

TEST(DenseLightningIndexerSoftmaxLse, StrictHasTheLimitsOfTheDocument) {
  Shape fine;
  fine.index_heads = 8;
  fine.index_dim = 128;
  ExpectAllowedByStrict(Calls(fine, 450).Lse());
  Shape s = fine;
  s.index_heads = 7;
  ExpectRefusedByStrictAlone(Calls(s, 450).Lse(), "query_index");
  s = fine;
  s.index_dim = 64;
  ExpectRefusedByStrictAlone(Calls(s, 450).Lse(), "query_index");
  s = fine;
  s.mode = 0;
  ExpectRefusedByStrictAlone(Calls(s, 450).Lse(), "sparse_mode");
  s = fine;
  s.dtype = DType::kFloat32;
  ExpectRefusedByStrictAlone(Calls(s, 450).Lse(), "query_index");
}

}  // namespace
}  // namespace tamis::test::dense_indexer

// Lists of the best keys of parts, merged.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test {
namespace {

TEST(MergeTopk, AgreesOverRandomListsWithTiesGapsAndNan) {
  Random random(720);
  for (int i = 0; i < 60; ++i) {
    const int64_t parts = random.Between(0, 5);
    const int64_t tokens = random.Between(0, 4);
    const int64_t entries = random.Between(0, i % 5 == 0 ? 900 : 30);
    TestCall call("merge_topk");
    call.Strided("values", DType::kFloat32, {parts, tokens, entries}, random.Below(2) * 3,
                 [&](int64_t) {
                   switch (random.Below(8)) {
                     case 0: return static_cast<double>(NAN);
                     case 1: return -0.0;
                     case 2: return random.Below(2) == 0 ? kInfinity : -kInfinity;
                     case 3: return random.Normal();
                     default: return static_cast<double>(random.Between(-2, 2));
                   }
                 })
        .Strided("indices", DType::kInt32, {parts, tokens, entries}, random.Below(2) * 3,
                 [&](int64_t) {
                   switch (random.Below(10)) {
                     case 0: return -1.0;
                     case 1: return -2147483648.0;
                     case 2: return 2147483647.0;
                     default: return static_cast<double>(random.Between(0, 200));  // often twice
                   }
                 })
        .Set("sparse_count", random.Between(0, 60))
        .OutputGap(random.Below(2) * 2);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(MergeTopk, OrdersByValueThenIndexWithNanLast) {
  TestCall call("merge_topk");
  call.Tensor("values", DType::kFloat32, {2, 1, 4},
              Elements({0, 5, NAN, -0.0, -kInfinity, 5, 99, 0}))
      .Tensor("indices", DType::kInt32, {2, 1, 4}, Elements({9, 8, 1, 3, 2, 4, -7, 9}))
      .Set("sparse_count", 9);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.GotInts("sparse_indices"), (std::vector<int64_t>{4, 8, 3, 9, 9, 2, 1, -1, -1}));
    EXPECT_EQ(call.Got("sparse_values", 5), -kInfinity);
    EXPECT_TRUE(std::isnan(call.Got("sparse_values", 6)));
    EXPECT_EQ(call.Got("sparse_values", 7), -kInfinity);
  }
  ExpectConforms(call);
}

TEST(MergeTopk, ValuesNeedNotBeWanted) {
  TestCall call("merge_topk");
  call.Tensor("values", DType::kFloat32, {2, 1, 4},
              [](int64_t i) { return static_cast<double>(i % 3); })
      .Tensor("indices", DType::kInt32, {2, 1, 4}, [](int64_t i) { return static_cast<double>(i); })
      .Set("sparse_count", 3)
      .Omit("sparse_values");
  ExpectConforms(call);
}

TEST(MergeTopk, RowsWithoutEntriesTakeNoTime) {
  const std::vector<int64_t> none = {1, int64_t{1} << 50, 0};
  TestCall call("merge_topk");
  call.Tensor("values", DType::kFloat32, none, [](int64_t) { return 0.0; })
      .Tensor("indices", DType::kInt32, none, [](int64_t) { return 0.0; })
      .Set("sparse_count", 0);
  ASSERT_TRUE(call.Run({}).ok());
}

TEST(MergeTopk, BadArgumentsAreRefusedByName) {
  TestCall call("merge_topk");
  call.Tensor("values", DType::kFloat32, {2, 3, 4}, [](int64_t) { return 0.0; })
      .Tensor("indices", DType::kInt32, {2, 3, 4}, [](int64_t) { return 0.0; })
      .Set("sparse_count", -1);
  ExpectRefused(call, StatusCode::kInvalidArgument, "sparse_count");
  call.Set("sparse_count", 4).Tensor("indices", DType::kInt32, {2, 3, 5}, [](int64_t) {
    return 0.0;
  });
  ExpectRefused(call, StatusCode::kInvalidArgument, "indices");
  call.Tensor("indices", DType::kInt64, {2, 3, 4}, [](int64_t) { return 0.0; });
  ExpectRefused(call, StatusCode::kInvalidArgument, "indices");
}

}  // namespace
}  // namespace tamis::test

// The gradient of nsa_selected_attention.
#include <gtest/gtest.h>

#include <vector>

#include "ops/nsa_selected_attention/test_calls.h"
#include "tests/support/conformance.h"
#include "tests/support/gradients.h"

namespace tamis::test::selected {
namespace {

constexpr const char* kGrad = "nsa_selected_attention_grad";

void ExpectGradientConforms(const Shape& s, uint64_t seed) {
  TestCall forward = Attention(s, seed);
  TestCall call = GradientOf(kGrad, forward, seed + 1, s.gap);
  ExpectConforms(call);
}

TEST(NsaSelectedAttentionGrad, ModesDtypesAndRaggedLengths) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (int64_t mode : {0, 2, 3}) {
      Shape s;
      s.dtype = dtype;
      s.mode = mode;
      s.q = {3, 60, 0, 1};
      s.n = {40, 130, 9, 70};
      s.gap = mode == 2 ? 3 : 0;
      SCOPED_TRACE(mode);
      ExpectGradientConforms(s, 400);
    }
  }
}

TEST(NsaSelectedAttentionGrad, BlocksOfAnySizeAndGroupsOfAnySize) {
  struct Case {
    int64_t block, count, kv_heads, group;
  };
  for (const Case& c : {Case{1, 20, 1, 1}, Case{5, 9, 2, 4}, Case{64, 2, 1, 16}, Case{100, 2, 2, 3},
                        Case{200, 1, 1, 70}, Case{int64_t{1} << 40, 2, 1, 2}, Case{16, 0, 1, 2}}) {
    Shape s;
    s.block = c.block;
    s.count = c.count;
    s.kv_heads = c.kv_heads;
    s.group = c.group;
    s.q = {30, 4};
    s.n = {150, 20};
    s.mode = 3;
    SCOPED_TRACE(testing::Message() << "block " << c.block << ", group " << c.group);
    ExpectGradientConforms(s, 410);
  }
}

TEST(NsaSelectedAttentionGrad, TokensThatShareLists) {
  Shape s;
  s.alike = 16;
  s.group = 4;
  s.q = {100};
  s.n = {300};
  s.block = 32;
  s.mode = 3;
  ExpectGradientConforms(s, 420);
}

TEST(NsaSelectedAttentionGrad, ABlockThatIsNamedTwiceCountsTwice) {
  Shape s;
  s.q = {1};
  s.n = {64};
  s.block = 64;
  s.count = 2;
  s.mode = 0;
  s.dtype = DType::kFloat32;
  TestCall forward = Attention(s, 430);
  SetIds(&forward, s, {0, 0});
  TestCall twice = GradientOf(kGrad, forward, 431);
  TestCall once = GradientOf(kGrad, forward, 431);
  SetIds(&once, s, {0, -1});
  ASSERT_TRUE(twice.Run({}).ok());
  ASSERT_TRUE(once.Run({}).ok());
  // With the statistics of the doubled list, P of the single one is P of either copy.
  for (int64_t i = 0; i < twice.OutputElems("value_grad"); ++i)
    EXPECT_EQ(twice.Got("value_grad", i), 2 * once.Got("value_grad", i));
  ExpectConforms(twice);
}

}  // namespace
}  // namespace tamis::test::selected

// The gradient of nsa_compress_attention.
#include <gtest/gtest.h>

#include <vector>

#include "ops/nsa_compress_attention/test_calls.h"
#include "tests/support/conformance.h"
#include "tests/support/gradients.h"
#include "tests/support/levels.h"

namespace tamis::test::compressed {
namespace {

constexpr const char* kGrad = "nsa_compress_attention_grad";

void ExpectGradientConforms(TestCall& forward, const Shape& s, uint64_t seed) {
  TestCall call = GradientOf(kGrad, forward, seed, s.gap);
  ExpectConforms(call);
}

TEST(NsaCompressAttentionGrad, MasksDtypesAndRaggedLengths) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (const char* masked_rows : {"uniform", "zero"}) {
      Shape s;
      s.dtype = dtype;
      s.queries = {9, 0, 70};
      s.keys = {23, 5, 90};
      s.gap = 3;
      TestCall plain = Attention(s, 500);
      ExpectGradientConforms(plain, s, 501);
      TestCall masked = Attention(s, 502);
      AddRandomMask(masked, "atten_mask", s.max_q(), s.max_n(), 0.6, 503);
      masked.Set("masked_rows", masked_rows);
      ExpectGradientConforms(masked, s, 504);
    }
  }
}

TEST(NsaCompressAttentionGrad, CausalByPositionsAndLimits) {
  for (const char* masked_rows : {"uniform", "zero"}) {
    Shape s;
    s.queries = {100, 300};
    s.keys = {5, 18};
    Random random(510);
    TestCall causal = Attention(s, 511);
    causal.Set("causal", true).Set("masked_rows", masked_rows);
    ExpectGradientConforms(causal, s, 512);
    TestCall limited = Attention(s, 513);
    AddLimits(limited, s, &random);
    limited.Set("masked_rows", masked_rows);
    ExpectGradientConforms(limited, s, 514);
  }
}

// What a row gives that sees no key.
TEST(NsaCompressAttentionGrad, AHiddenRowGivesEveryValueItsShareOrNothing) {
  Shape s;
  s.queries = {1};
  s.keys = {4};
  s.dtype = DType::kFloat32;
  for (const bool uniform : {true, false}) {
    TestCall forward = Attention(s, 520);
    forward.Tensor("atten_mask", DType::kBool, {1, 4}, [](int64_t) { return 1.0; })
        .Set("masked_rows", uniform ? "uniform" : "zero");
    TestCall call = GradientOf(kGrad, forward, 521);
    call.Tensor("attention_out_grad", s.dtype, {1, 6, 12}, [](int64_t) { return 2.0; });
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (int64_t i = 0; i < call.OutputElems("query_grad"); ++i)
        EXPECT_EQ(call.Got("query_grad", i), 0.0);
      for (int64_t i = 0; i < call.OutputElems("key_grad"); ++i)
        EXPECT_EQ(call.Got("key_grad", i), 0.0);
      for (int64_t i = 0; i < call.OutputElems("value_grad"); ++i)
        EXPECT_EQ(call.Got("value_grad", i), uniform ? 3 * 2.0 / 4 : 0.0);  // of three heads
    }
    ExpectConforms(call);
  }
}

}  // namespace
}  // namespace tamis::test::compressed

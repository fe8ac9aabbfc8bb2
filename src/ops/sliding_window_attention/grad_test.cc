// The gradient of sliding_window_attention.
#include <gtest/gtest.h>

#include <vector>

#include "ops/sliding_window_attention/test_calls.h"
#include "tests/support/conformance.h"
#include "tests/support/gradients.h"

namespace tamis::test::window {
namespace {

void ExpectGradientConforms(const Shape& s, uint64_t seed) {
  TestCall forward = Attention(s, seed);
  TestCall call = GradientOf("sliding_window_attention_grad", forward, seed + 1, s.gap);
  ExpectConforms(call);
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
  for (const Case& c : {Case{1, 1, 1, 1}, Case{5, 1, 33, 7}, Case{16, 4, 64, 64},
                        Case{96, 1, 40, 24}, Case{17, 17, 16, 300}, Case{4, 2, 640, 16},
                        Case{2, 1, 0, 16}, Case{2, 1, 16, 0}}) {
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

}  // namespace
}  // namespace tamis::test::window

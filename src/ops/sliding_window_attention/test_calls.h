// Calls of sliding_window_attention for its tests, from a seed.
#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/support/refusals.h"
#include "tests/support/token_calls.h"

namespace tamis::test::window {

struct Shape : Tokens {
  int64_t heads = 4;
  int64_t kv_heads = 2;
  int64_t dim = 16;
  int64_t value_dim = 12;
  int64_t window = 7;
};

// Rows of keys and values that no sequence has, spare pages and gaps hold NaN.
inline TestCall Attention(const Shape& s, uint64_t seed) {
  Random random(seed);
  const Placement place(s, &random);
  TestCall call("sliding_window_attention");
  const auto keys = [&](const char* name, int64_t dim) {
    call.Strided(name, s.dtype, place.Shape(dim, s.kv_heads), s.gap,
                 place.Values(dim * s.kv_heads, &random));
  };
  call.Strided("query", s.dtype, s.QueryShape({s.heads, s.dim}), s.gap,
               [&](int64_t) { return random.Normal(); })
      .Set("scale_value", 0.3)
      .Set("window_size", s.window);
  SetSequences(&call, s, place, "kv");
  keys("key", s.dim);
  keys("value", s.value_dim);
  return call;
}

inline void ExpectEmptyRow(const TestCall& call, const Shape& s, int64_t row) {
  for (int64_t h = 0; h < s.heads; ++h) {
    for (int64_t c = 0; c < s.value_dim; ++c)
      EXPECT_EQ(call.Got("attention_out", (row * s.heads + h) * s.value_dim + c), 0.0);
    EXPECT_EQ(call.Got("softmax_max", row * s.heads + h), -kInfinity);
    EXPECT_EQ(call.Got("softmax_sum", row * s.heads + h), 0.0);
  }
}

}  // namespace tamis::test::window

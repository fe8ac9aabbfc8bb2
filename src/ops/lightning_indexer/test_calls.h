// Calls of lightning_indexer for the room's tests, from a seed.
#pragma once

#include "tests/support/token_calls.h"

namespace tamis::test::indexer {

struct Shape : Tokens {
  int64_t heads = 8;
  int64_t dim = 16;
  int64_t count = 8;
  int64_t mode = 3;
  DType weights = DType::kBFloat16;
};

// Rows of keys that no sequence has and gaps hold NaN; page-table entries that must not be read are
// out of range.
inline TestCall Indexer(const Shape& s, uint64_t seed) {
  Random random(seed);
  const auto normal = [&](int64_t) { return random.Normal(); };
  TestCall call("lightning_indexer");
  call.Strided("query", s.dtype, s.QueryShape({s.heads, s.dim}), s.gap, normal)
      .Strided("weights", s.weights, s.QueryShape({s.heads}), s.gap, normal)
      .Set("sparse_count", s.count)
      .Set("sparse_mode", s.mode)
      .Set("return_value", true)
      .Set("value_dtype", "float32");
  const Placement place(s, &random);
  SetSequences(&call, s, place, "key");
  call.Strided("key", s.dtype, place.Shape(s.dim), s.gap, place.Values(s.dim, &random));
  return call;
}

}  // namespace tamis::test::indexer

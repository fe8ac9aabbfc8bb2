// The fused call beside the four that it is made of.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/composition.h"

namespace tamis::sparse_attention_pto::test_composition {

using test::Composed;
using test::SameElements;

// Runs the call after its composition, which works on copies of the caches.
inline void ExpectEqualsComposition(const Params& params, const Context& context) {
  const Composed composed(params, context);
  ASSERT_TRUE(composed.status.ok()) << composed.status.message();
  const Status status = run(params, context);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(SameElements(composed.kv.view, params.kv_cache));
  EXPECT_TRUE(SameElements(composed.kr.view, params.kr_cache));
  EXPECT_TRUE(SameElements(composed.index_k.view, params.index_k_cache));
  EXPECT_TRUE(SameElements(composed.indices.view, params.sparse_indices));
  EXPECT_TRUE(SameElements(composed.out.view, params.out));
}

}  // namespace tamis::sparse_attention_pto::test_composition

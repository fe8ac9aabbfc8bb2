// Parameters of the calls that begin with new tokens of one sequence.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/tamis/demo/dsa/cache.h"
#include "tools/tamis/demo/dsa/layer.h"

namespace tamis::tools::demo::dsa {

/// What every such call takes.
struct Tokens {
  int64_t count = 0;
  std::vector<uint16_t> x;     // [count, kHidden]
  std::vector<uint16_t> cos;   // [count, kRope]
  std::vector<uint16_t> sin;   // [count, kRope]
  std::vector<int32_t> slots;  // [count]
};

/// Cache rows only: outputs, and weights that only they need, are left to the caller.
mla_prolog::Params MlaParams(const Weights& weights, const Tokens& tokens, Caches* caches);
indexer_prolog::Params IndexParams(const Weights& weights, const Tokens& tokens, Caches* caches);

/// The block table, the lengths and the outputs are left to the caller.
sparse_attention_pto::Params FusedParams(const Weights& weights, const Tokens& tokens,
                                         Caches* caches);

}  // namespace tamis::tools::demo::dsa

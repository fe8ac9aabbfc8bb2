// Dense attention in float64, over raw keys: which blocks of the text hold its mass.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/tamis/demo/prefill.h"

namespace tamis::tools::demo {

/// [questions, kKeyHeads, CeilDiv(tokens, kBlock)]: the softmax's mass on the tokens of each block,
/// averaged over the query heads of a kv head; each (question, kv head) sums to 1. Written without
/// the operators.
std::vector<double> DenseMass(const Memory& memory, const std::vector<uint16_t>& query,
                              int64_t questions, int32_t threads);

}  // namespace tamis::tools::demo

// Calls of gradients from calls of their forwards, by the contracts alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/test_call.h"

namespace tamis::test {

/// The gradient `op` of a forward that this runs with threads 1 at the lowest level: tensors and
/// attributes of the same names, its statistics, and a normal gradient of its result with `gap`
/// elements of NaN after every row. `forward` owns the tensors.
TestCall GradientOf(const std::string& op, TestCall& forward, uint64_t seed, int64_t gap = 0);

/// Of a packed call of `op`, sequences of `q` query tokens and `n` keys: that each gives alone,
/// with another number of threads, the same elements of these outputs. What belongs to keys has
/// "key" or "kv" in its name. The call has run at the level.
void ExpectSequencesAlone(const TestCall& packed, const std::string& op,
                          const std::vector<int64_t>& q, const std::vector<int64_t>& n, Level level,
                          const std::vector<std::string>& outputs);

}  // namespace tamis::test

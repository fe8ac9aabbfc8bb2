// Calls of gradients from calls of their forwards, by the contracts alone.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/test_call.h"

namespace tamis::test {

/// The gradient `op` of a forward that this runs with threads 1 at the lowest level: tensors and
/// attributes of the same names, its statistics, and a normal gradient of its result with `gap`
/// elements of NaN after every row. `forward` owns the tensors.
TestCall GradientOf(const std::string& op, TestCall& forward, uint64_t seed, int64_t gap = 0);

}  // namespace tamis::test

// Small random calls of every operator that its contract accepts.
#pragma once

#include <vector>

#include "tests/support/test_call.h"

namespace tamis::test {

/// For tests of every operator.
std::vector<const base::Operator*> AllOperators();

/// A call that plans: shapes, lengths, pages, dtypes, choices and values as drawn.
TestCall RandomCall(const base::Operator& op, Random* random);

}  // namespace tamis::test

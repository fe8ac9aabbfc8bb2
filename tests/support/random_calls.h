// Small random calls of every operator that its contract accepts.
#pragma once

#include "tests/support/test_call.h"

namespace tamis::test {

/// A call that plans: shapes, lengths, pages, dtypes, choices and values as drawn.
TestCall RandomCall(const base::Operator& op, Random* random);

}  // namespace tamis::test

// One judgement for every implementation at every level.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/test_call.h"

namespace tamis::test {

/// Runs the call with the reference and at every level, compares every row of every output with the
/// reference within its bound, and holds the bytes of runs with 1, 2 and 7 threads against each
/// other.
void ExpectConforms(TestCall& call);

/// Both calls give the same bytes at every level.
void ExpectSameBytes(TestCall& a, TestCall& b);

/// The call is refused with `code`, the message names `argument`, is one line, and no output byte
/// is written.
void ExpectRefused(TestCall& call, StatusCode code, const std::string& argument);

}  // namespace tamis::test

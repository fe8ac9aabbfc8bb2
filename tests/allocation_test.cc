// Every allocation of every operator's plan and run refused once, of the reference a sample: a
// Status, nothing lost, and the next call works.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/allocations.h"
#include "tests/support/c_call.h"
#include "tests/support/random_calls.h"

namespace tamis::test {
namespace {

constexpr int kCalls = 3;
constexpr int64_t kMostAllocations = 100'000;

class Allocations : public testing::TestWithParam<const base::Operator*> {};

INSTANTIATE_TEST_SUITE_P(Operators, Allocations, testing::ValuesIn(AllOperators()),
                         [](const auto& op) { return op.param->contract->name; });

struct Outcome {
  tamis_status planned = TAMIS_OK;
  tamis_status ran = TAMIS_OK;
  std::string line;
};

Outcome PlanAndRun(const CCall& call, const tamis_context* context) {
  Outcome outcome;
  tamis_plan* plan = nullptr;
  outcome.planned = call.Plan(context, &plan);
  if (outcome.planned == TAMIS_OK) outcome.ran = tamis_plan_run(plan, nullptr, 0, nullptr);
  outcome.line = tamis_last_error();
  tamis_plan_destroy(plan);
  return outcome;
}

// Refuses allocation after allocation until a call has none left; returns how many there were. The
// reference makes thousands of vectors alike, and computes all before the one that is refused: of
// those past the first `all`, it is refused each 29th.
int64_t RefuseInTurn(TestCall* source, const tamis_context* context, int64_t all) {
  for (int64_t number = 0; number < kMostAllocations; number += number < all ? 1 : 29) {
    const CCall call(source);
    const int64_t live = LiveAllocations();
    Outcome outcome;
    bool failed = false;
    {
      const FailingAllocation failing(number);
      outcome = PlanAndRun(call, context);
      failed = failing.failed();
    }
    if (!failed) {
      EXPECT_EQ(outcome.planned, TAMIS_OK);
      EXPECT_EQ(outcome.ran, TAMIS_OK);
      return number;
    }
    const tamis_status status = outcome.planned != TAMIS_OK ? outcome.planned : outcome.ran;
    // A worker that cannot be started is no failure: the others do its work.
    EXPECT_TRUE(status == TAMIS_NO_MEMORY || status == TAMIS_OK)
        << number << ": " << tamis_status_name(status) << ", " << outcome.line;
    EXPECT_TRUE(status == TAMIS_OK || !outcome.line.empty()) << number;
    EXPECT_TRUE(outcome.planned == TAMIS_OK || source->OutputsUntouched()) << number;
    std::string().swap(outcome.line);  // its block lives here
    EXPECT_EQ(LiveAllocations(), live) << "lost after the refusal of allocation " << number;
  }
  ADD_FAILURE() << "no end of allocations";
  return kMostAllocations;
}

TEST_P(Allocations, EachRefusedInTurnIsAStatusAndNothingIsLost) {
  tamis_context* context = nullptr;
  ASSERT_EQ(tamis_context_create(&context), TAMIS_OK);
  ASSERT_EQ(tamis_context_set_threads(context, 2), TAMIS_OK);
  for (const int32_t implementation : {TAMIS_IMPLEMENTATION_CPU, TAMIS_IMPLEMENTATION_REFERENCE}) {
    ASSERT_EQ(tamis_context_set_implementation(context, implementation), TAMIS_OK);
    int64_t refused = 0;
    for (uint64_t seed = 1; seed <= kCalls; ++seed) {
      Random random(seed);
      TestCall source = RandomCall(*GetParam(), &random);
      // Before anything is refused: workers start, and what is made once is made.
      ASSERT_EQ(PlanAndRun(CCall(&source), context).ran, TAMIS_OK);
      const auto expected = source.Run({});
      ASSERT_TRUE(expected.ok());
      refused += RefuseInTurn(&source, context,
                              implementation == TAMIS_IMPLEMENTATION_CPU ? kMostAllocations : 300);
      const auto found = source.Run({});
      ASSERT_TRUE(found.ok());
      EXPECT_TRUE(*found == *expected) << "after refusals";
    }
    EXPECT_GT(refused, 10);
  }
  tamis_context_destroy(context);
}

}  // namespace
}  // namespace tamis::test

#include "tests/support/conformance.h"

#include <numeric>

#include "base/cpu_features.h"
#include "registry/compare.h"

namespace tamis::test {
namespace {

void ExpectAgrees(TestCall& call, const Context& context) {
  Result<registry::Call> with_outputs = call.WithOutputs();
  ASSERT_TRUE(with_outputs.ok()) << with_outputs.status().message();
  Result<Plan> plan = with_outputs->MakePlan(context);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  SCOPED_TRACE(plan->explanation());
  // A workspace of exactly the stated size, so that the sanitizers see a step beyond it.
  std::vector<unsigned char> workspace(static_cast<size_t>(plan->workspace_bytes()) + 63, 0xCD);
  const auto begin = (reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64;
  const Status status = plan->run(reinterpret_cast<void*>(begin), plan->workspace_bytes());
  ASSERT_TRUE(status.ok()) << status.message();
  Result<int64_t> count = registry::CountRows(with_outputs->op(), with_outputs->params());
  ASSERT_TRUE(count.ok()) << count.status().message();
  std::vector<int64_t> rows(static_cast<size_t>(*count));
  std::iota(rows.begin(), rows.end(), 0);
  auto comparisons =
      registry::CompareWithReference(with_outputs->op(), with_outputs->params(), rows, 1);
  ASSERT_TRUE(comparisons.ok()) << comparisons.status().message();
  for (const registry::OutputComparison& c : *comparisons) {
    EXPECT_TRUE(c.ok()) << c.output << ": " << c.mismatches << " of " << c.elements << " differ; "
                        << c.first_mismatch;
  }
}

}  // namespace

void ExpectConforms(TestCall& call) {
  ExpectAgrees(call, {.threads = 1, .implementation = Implementation::kReference});
  std::string levels;
  for (Level level : base::AvailableLevels()) {
    levels += std::string(base::Name(level)) + " ";
    ExpectAgrees(call, {.threads = 1, .level = level});
    const Result<Outputs> one = call.Run({.threads = 1, .level = level});
    ASSERT_TRUE(one.ok()) << one.status().message();
    for (int32_t threads : {2, 7}) {
      const Result<Outputs> several = call.Run({.threads = threads, .level = level});
      ASSERT_TRUE(several.ok()) << several.status().message();
      EXPECT_TRUE(*one == *several)
          << threads << " threads differ from one at level " << base::Name(level);
    }
  }
  // For the line at the end of `dev test` that says what was tested.
  ::testing::Test::RecordProperty("levels", levels);
}

void ExpectRefused(TestCall& call, StatusCode code, const std::string& argument) {
  Result<registry::Call> made = call.WithOutputs();
  Status status = made.status();
  if (made.ok()) {
    Result<Plan> plan = made->MakePlan({});
    ASSERT_FALSE(plan.ok()) << "accepted; expected a complaint about " << argument;
    status = plan.status();
    EXPECT_TRUE(call.OutputsUntouched()) << "written although refused: " << status.message();
  }
  EXPECT_EQ(static_cast<int>(status.code()), static_cast<int>(code)) << status.message();
  EXPECT_EQ(status.message().rfind(argument, 0), 0u)
      << "expected a complaint about " << argument << ", got: " << status.message();
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
}

}  // namespace tamis::test

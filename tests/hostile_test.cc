// Everything that can be wrong with one argument of a call, for every argument of every operator,
// through the C interface: refused with a line that names the argument, or right. docs/trust.md has
// the numbers.
#include "tests/support/hostile.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/support/allocations.h"
#include "tests/support/levels.h"
#include "tests/support/random_calls.h"

namespace tamis::test {
namespace {

constexpr int kCalls = 6;
constexpr uint64_t kHugeCalls = 2;
constexpr int64_t kSmallHost = int64_t{1} << 24;
constexpr size_t kLargestAllocation = size_t{1} << 28;

// The columns of the table in docs/trust.md, and the kinds of changes that count in each.
const std::vector<std::vector<std::string>> kColumns = {{"absent", "null", "twice"},
                                                        {"dtype", "type", "choice"},
                                                        {"rank", "size"},
                                                        {"stride", "alignment", "overlap"},
                                                        {"device"},
                                                        {"overflow"},
                                                        {"number", "list"},
                                                        {"entry"}};

std::string Row(const std::string& op, std::map<std::string, int64_t> tried) {
  std::string row = "| `" + op + "` |";
  int64_t all = 0;
  for (const auto& kinds : kColumns) {
    int64_t count = 0;
    for (const std::string& kind : kinds) {
      count += tried[kind];
      tried.erase(kind);
    }
    row += " " + std::to_string(count) + " |";
    all += count;
  }
  EXPECT_TRUE(tried.empty()) << "no column for " << tried.begin()->first;
  return row + " " + std::to_string(all) + " |";
}

bool HasLine(const std::string& path, const std::string& line) {
  std::ifstream file(path);
  for (std::string read; std::getline(file, read);) {
    if (read == line) return true;
  }
  return false;
}

class Hostile : public testing::TestWithParam<const base::Operator*> {};

INSTANTIATE_TEST_SUITE_P(Calls, Hostile, testing::ValuesIn(AllOperators()),
                         [](const auto& op) { return op.param->contract->name; });

TestCall CallOf(const base::Operator& op, uint64_t seed) {
  Random random(seed);
  return RandomCall(op, &random);
}

// Changes one argument in every way; returns how many ways there were. Levels and numbers of
// threads take turns, so that each change meets each level in one of the calls.
size_t ChangeInEveryWay(const base::Operator& op, const base::Field& field, uint64_t seed,
                        std::map<std::string, int64_t>* tried) {
  TestCall source = CallOf(op, seed);
  const auto inputs = source.input_bytes();
  const std::vector<Level> levels = TestedLevels();
  const std::vector<Change> changes = HostileChanges(CCall(&source), field);
  size_t turn = seed;
  for (const Change& change : changes) {
    CCall call(&source);
    Manner manner = {.threads = 1 + static_cast<int32_t>(turn % 3)};
    manner.level = levels[turn++ % levels.size()];
    const Verdict verdict = JudgeChange(&call, field, change, manner);
    ++(*tried)[change.kind];
    const std::string what = op.contract->name + " from seed " + std::to_string(seed) + ", " +
                             field.name + ": " + change.kind + ", " + change.what;
    EXPECT_EQ(verdict.failure, "") << what;
    if (source.input_bytes() == inputs) continue;
    // An output on an input, told apart by its strides, lies in the input's gaps.
    EXPECT_TRUE(change.kind == std::string("overlap")) << "an input was written: " << what;
    source = CallOf(op, seed);
  }
  return changes.size();
}

TEST_P(Hostile, EveryArgumentChangedInEveryWayIsRefusedOrRight) {
  const LargestAllocation largest(kLargestAllocation);
  const base::Operator& op = *GetParam();
  std::map<std::string, int64_t> tried;
  for (const base::Field& field : op.contract->fields) {
    size_t changes = 0;
    for (uint64_t seed = 1; seed <= kCalls; ++seed)
      changes += ChangeInEveryWay(op, field, seed, &tried);
    EXPECT_GT(changes, 0u) << field.name << " was in none of the calls";
  }
  const std::string row = Row(op.contract->name, tried);
  EXPECT_TRUE(HasLine(std::string(TAMIS_SOURCE_DIR) + "/docs/trust.md", row))
      << "docs/trust.md lacks the line\n"
      << row;
}

TEST_P(Hostile, SizesThatNoMemoryHoldsAreRefusedInOneLineAndNothingIsWritten) {
  const LargestAllocation largest(kSmallHost);
  const std::vector<Level> levels = TestedLevels();
  size_t turn = 0;
  for (uint64_t seed = 1; seed <= kHugeCalls; ++seed) {
    TestCall source = CallOf(*GetParam(), seed);
    for (const Change& change : HugeSizes(CCall(&source))) {
      CCall call(&source);
      change.apply(&call);
      Manner manner = {.threads = 1 + static_cast<int32_t>(turn % 3)};
      manner.host_bytes = kSmallHost;
      manner.level = levels[turn++ % levels.size()];
      EXPECT_EQ(Judge(&call, manner).failure, "") << seed << ": " << change.what;
    }
  }
  EXPECT_GT(turn, 5u);
}

TEST_P(Hostile, SoundRandomCallsAgreeWithTheReference) {
  const std::vector<Level> levels = TestedLevels();
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Random random(1000 + seed);
    TestCall source = RandomCall(*GetParam(), &random);
    CCall call(&source);
    Manner manner = {.threads = 1 + static_cast<int32_t>(seed % 3)};
    manner.level = levels[seed % levels.size()];
    const Verdict verdict = Judge(&call, manner);
    EXPECT_EQ(verdict.failure, "") << seed;
    EXPECT_TRUE(verdict.outcome == Verdict::Outcome::kAgreed) << seed << ": " << verdict.line;
  }
}

}  // namespace
}  // namespace tamis::test

#include "base/workspace.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "tests/support/allocations.h"

namespace tamis::base {
namespace {

constexpr int64_t kBytes = 3 << 20;

void* TakenFor(int64_t bytes) {
  const Workspace workspace(bytes);
  if (workspace.data() != nullptr) std::memset(workspace.data(), 0xCD, static_cast<size_t>(bytes));
  return workspace.data();
}

TEST(Workspace, IsTheThreadsLastOneWhereThatIsLargeEnough) {
  void* const first = TakenFor(kBytes);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 4096, 0U);
  const int64_t live = test::LiveAllocations();
  EXPECT_EQ(TakenFor(kBytes), first);
  EXPECT_EQ(TakenFor(1), first);
  EXPECT_NE(TakenFor(2 * kBytes), nullptr);
  EXPECT_EQ(TakenFor(2 * kBytes), TakenFor(kBytes));
  EXPECT_EQ(test::LiveAllocations(), live);
}

TEST(Workspace, MuchMemoryIsNotKept) {
  EXPECT_NE(TakenFor(kBytes), nullptr);
  const int64_t live = test::LiveAllocations();
  EXPECT_NE(TakenFor(kMostKeptBytes), nullptr);
  EXPECT_EQ(test::LiveAllocations(), live);
  EXPECT_NE(TakenFor(kMostKeptBytes + 1), nullptr);
  EXPECT_EQ(test::LiveAllocations(), live - 1);
}

TEST(Workspace, RunsWithinARunHaveTheirOwn) {
  const Workspace outer(kBytes);
  {
    const Workspace inner(kBytes);
    EXPECT_NE(inner.data(), outer.data());
    EXPECT_NE(TakenFor(kBytes), inner.data());
  }
  EXPECT_NE(TakenFor(kBytes), outer.data());
}

TEST(Workspace, ARefusalIsNullAndIsNotKept) {
  EXPECT_NE(TakenFor(1), nullptr);
  {
    const test::FailingAllocation failing(0);
    EXPECT_EQ(TakenFor(2 * kMostKeptBytes), nullptr);
  }
  EXPECT_NE(TakenFor(1), nullptr);
}

TEST(Workspace, EveryThreadHasItsOwnUntilItEnds) {
  void* const here = TakenFor(kBytes);
  const int64_t live = test::LiveAllocations();
  std::thread([&] { EXPECT_NE(TakenFor(kBytes), here); }).join();
  EXPECT_EQ(test::LiveAllocations(), live);
}

}  // namespace
}  // namespace tamis::base

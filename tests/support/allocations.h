// Memory that the host refuses. A program that links allocations.cc has its operator new replaced.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tamis::test {

/// While one of these lives, larger allocations are refused: what a host without much memory does,
/// the same everywhere.
class LargestAllocation {
 public:
  explicit LargestAllocation(size_t bytes);
  ~LargestAllocation();
  LargestAllocation(const LargestAllocation&) = delete;
  LargestAllocation& operator=(const LargestAllocation&) = delete;

 private:
  size_t before_;
};

/// While one of these lives, the allocation of this number (0: the next one, of any thread) is
/// refused, and no other.
class FailingAllocation {
 public:
  explicit FailingAllocation(int64_t number);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;

  /// Whether it came to that allocation.
  bool failed() const;
};

/// Blocks that are allocated and not freed, of all threads.
int64_t LiveAllocations();

}  // namespace tamis::test

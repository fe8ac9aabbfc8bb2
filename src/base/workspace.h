// Memory for runs that bring none.
#pragma once

#include <cstdint>

namespace tamis::base {

/// A calling thread keeps the memory of its last such run until it ends, unless that was more.
inline constexpr int64_t kMostKeptBytes = int64_t{32} << 20;

/// Uninitialised memory that begins a page: what the thread has kept, where that is large enough.
/// With memory from the allocator for every call, a token's attention takes 1 to 3% longer.
class Workspace {
 public:
  explicit Workspace(int64_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  /// Null: the host refused.
  void* data() const { return memory_; }

 private:
  void* memory_;
  int64_t bytes_;
};

}  // namespace tamis::base

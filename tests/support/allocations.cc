#include "tests/support/allocations.h"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace tamis::test {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

std::atomic<size_t> g_largest{std::numeric_limits<size_t>::max()};
std::atomic<int64_t> g_until_failure{kNever};
std::atomic<int64_t> g_live{0};

bool Refused(size_t bytes) {
  if (bytes > g_largest.load(std::memory_order_relaxed)) return true;
  if (g_until_failure.load(std::memory_order_relaxed) == kNever) return false;
  return g_until_failure.fetch_sub(1, std::memory_order_relaxed) == 0;
}

void* Allocate(size_t bytes, size_t alignment) noexcept {
  if (Refused(bytes)) return nullptr;
  if (bytes == 0) bytes = 1;
  // aligned_alloc wants a multiple of the alignment; what is added would hide a step past the end.
  void* memory = nullptr;
  if (alignment <= alignof(std::max_align_t))
    memory = std::malloc(bytes);
  else if (posix_memalign(&memory, alignment, bytes) != 0)
    memory = nullptr;
  if (memory != nullptr) g_live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* AllocateOrThrow(size_t bytes, size_t alignment) {
  void* const memory = Allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Free(void* memory) noexcept {
  if (memory != nullptr) g_live.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

LargestAllocation::LargestAllocation(size_t bytes) : before_(g_largest.exchange(bytes)) {}
LargestAllocation::~LargestAllocation() { g_largest = before_; }

FailingAllocation::FailingAllocation(int64_t number) { g_until_failure = number; }
FailingAllocation::~FailingAllocation() { g_until_failure = kNever; }
bool FailingAllocation::failed() const { return g_until_failure < 0; }

int64_t LiveAllocations() { return g_live; }

}  // namespace tamis::test

using tamis::test::Allocate;
using tamis::test::AllocateOrThrow;
using tamis::test::Free;

constexpr size_t kAny = alignof(std::max_align_t);

void* operator new(size_t bytes) { return AllocateOrThrow(bytes, kAny); }
void* operator new[](size_t bytes) { return AllocateOrThrow(bytes, kAny); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return AllocateOrThrow(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return AllocateOrThrow(bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return Allocate(bytes, kAny); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return Allocate(bytes, kAny); }
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete(void* memory, size_t) noexcept { Free(memory); }
void operator delete[](void* memory, size_t) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { Free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { Free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { Free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  Free(memory);
}
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  Free(memory);
}

#include "base/workspace.h"

#include <cstddef>
#include <new>
#include <utility>

namespace tamis::base {
namespace {

constexpr std::align_val_t kPage{4096};

struct Block {
  void* memory = nullptr;
  int64_t bytes = 0;
};

void Free(const Block& block) { ::operator delete(block.memory, kPage); }

struct Kept {
  ~Kept() { Free(std::exchange(block, {})); }
  Block block;
};
thread_local Kept kept;

}  // namespace

Workspace::Workspace(int64_t bytes) {
  // Taken out, not lent: while this run waits for its workers, the host may give its thread another
  // run to do.
  Block block = std::exchange(kept.block, {});
  if (block.bytes < bytes) {
    Free(block);
    block.memory = ::operator new(static_cast<size_t>(bytes), kPage, std::nothrow);
    block.bytes = block.memory == nullptr ? 0 : bytes;
  }
  memory_ = block.memory;
  bytes_ = block.bytes;
}

Workspace::~Workspace() {
  Block block = {memory_, bytes_};
  if (bytes_ <= kMostKeptBytes) std::swap(block, kept.block);
  Free(block);
}

}  // namespace tamis::base

// What a room brings for the CPU: phases of independent items, the scratch that one worker needs,
// and the kernels of a level.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "prim/cpu/kernel.h"
#include "tamis/context.hpp"

namespace tamis::prim {

/// Items [first, first + items), independent of each other, for one kernel. A phase begins when all
/// of the one before is done.
struct CpuPhase {
  int64_t items = 0;
  CpuKernel* kernel = nullptr;
  int64_t first = 0;
};

struct CpuWork {
  std::vector<CpuPhase> phases;
  int64_t scratch_bytes = 0;  ///< Per worker; negative where the size overflows.
  int64_t shared_bytes = 0;   ///< Of all workers together; negative where the size overflows.
  const void* args = nullptr;
  std::string blocking;  ///< For explain.
};

/// One kernel per level. Levels that a build lacks are null and never asked for.
struct KernelTable {
  CpuKernel* scalar = nullptr;
  CpuKernel* avx2 = nullptr;
  CpuKernel* avx512 = nullptr;

  CpuKernel* at(Level level) const {
    switch (level) {
      case Level::kAvx512: return avx512;
      case Level::kAvx2: return avx2;
      default: return scalar;
    }
  }
};

// The three entries of a kernel `name`, where the build has them.
#if defined(TAMIS_X86_LEVELS)
#define TAMIS_KERNEL_TABLE(name) \
  { &::tamis::scalar::name, &::tamis::avx2::name, &::tamis::avx512::name }
#else
#define TAMIS_KERNEL_TABLE(name) \
  { &::tamis::scalar::name, nullptr, nullptr }
#endif

}  // namespace tamis::prim

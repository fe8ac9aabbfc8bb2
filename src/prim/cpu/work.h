// What a room brings for the CPU: phases of independent items, the scratch that one worker needs,
// and the kernels of a level.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "prim/cpu/kernel.h"
#include "tamis/context.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// Items [first, first + items), independent of each other, for one kernel. A phase begins when all
/// of the one before is done.
struct CpuPhase {
  int64_t items = 0;
  CpuKernel* kernel = nullptr;
  int64_t first = 0;
};

/// No processor has more memory for a program.
inline constexpr int64_t kMostBytes = int64_t{1} << 56;

struct CpuWork {
  std::vector<CpuPhase> phases;
  int64_t scratch_bytes = 0;  ///< Per worker. Both computed as prim/cpu/scratch.h has it:
  int64_t shared_bytes = 0;   ///< of all workers together. More than kMostBytes is refused.
  std::string blocking;       ///< For explain.
};

/// Whether a level multiplies 8- and 16-bit integers faster than fp32.
inline bool HasFastIntegers(Level level) {
  return level == Level::kAvx2Vnni || level >= Level::kAvx512Vnni;
}

/// Whether a level multiplies 16-bit integers where it may: `scalar` does so for tests.
inline bool HasInt16(Level level) { return level == Level::kScalar || HasFastIntegers(level); }

/// One kernel per level. Levels that a build lacks are null and never asked for. Only kernels with
/// products of integers have those of levels avx2_vnni and avx512_vnni, and only kernels whose
/// products can be of pairs of bfloat16 one of level avx512_bf16; others are those of levels avx2
/// and avx512.
struct KernelTable {
  CpuKernel* scalar = nullptr;
  CpuKernel* avx2 = nullptr;
  CpuKernel* avx2_vnni = nullptr;
  CpuKernel* avx512 = nullptr;
  CpuKernel* avx512_vnni = nullptr;
  CpuKernel* avx512_bf16 = nullptr;

  /// `pairs`: both factors of the products are bfloat16.
  CpuKernel* at(Level level, bool pairs = false) const {
    switch (level) {
      case Level::kAvx512Bf16:
        if (pairs && avx512_bf16 != nullptr) return avx512_bf16;
        [[fallthrough]];
      case Level::kAvx512Vnni: return avx512_vnni != nullptr ? avx512_vnni : avx512;
      case Level::kAvx512: return avx512;
      case Level::kAvx2Vnni:
        if (avx2_vnni != nullptr) return avx2_vnni;
        [[fallthrough]];
      case Level::kAvx2: return avx2;
      default: return scalar;
    }
  }
};

// The entries of a kernel `name`, where the build has them; the second form with level avx512_bf16,
// the third with avx2_vnni and avx512_vnni too.
#if defined(TAMIS_X86_LEVELS)
#define TAMIS_KERNEL_TABLE(name) \
  { &::tamis::scalar::name, &::tamis::avx2::name, nullptr, &::tamis::avx512::name }
#define TAMIS_PAIR_KERNEL_TABLE(name)                                                       \
  {                                                                                         \
    &::tamis::scalar::name, &::tamis::avx2::name, nullptr, &::tamis::avx512::name, nullptr, \
        &::tamis::avx512_bf16::name                                                         \
  }
#define TAMIS_INT16_KERNEL_TABLE(name)                                                   \
  {                                                                                      \
    &::tamis::scalar::name, &::tamis::avx2::name, &::tamis::avx2_vnni::name,             \
        &::tamis::avx512::name, &::tamis::avx512_vnni::name, &::tamis::avx512_bf16::name \
  }
#else
#define TAMIS_KERNEL_TABLE(name) \
  { &::tamis::scalar::name }
#define TAMIS_PAIR_KERNEL_TABLE(name) TAMIS_KERNEL_TABLE(name)
#define TAMIS_INT16_KERNEL_TABLE(name) TAMIS_KERNEL_TABLE(name)
#endif

/// What a kernel's argument points to.
template <class T>
T* Data(const TensorView& view) {
  return static_cast<T*>(view.data);
}

}  // namespace tamis::prim

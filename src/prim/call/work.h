// What a room brings for the CPU: phases of independent items, the scratch that one worker needs,
// and kernels at several levels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/errors.h"
#include "base/levels.h"
#include "prim/blocks/elements.h"
#include "prim/call/kernel.h"
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

/// Of a size that is computed as prim/call/scratch.h has it.
inline Status CheckWorkspace(int64_t bytes) {
  if (bytes <= kMostBytes) return Status::Ok();
  return base::Invalid("workspace", "at most 2^56 bytes", "a call that needs more");
}

/// Cleared, lists keep their memory.
struct CpuWork {
  std::vector<CpuPhase> phases;
  int64_t scratch_bytes = 0;  ///< Per worker. Both computed as prim/call/scratch.h has it:
  int64_t shared_bytes = 0;   ///< of all workers together. More than kMostBytes is refused.

  void Clear() {
    phases.clear();
    scratch_bytes = shared_bytes = 0;
  }
};

/// What a plan runs on.
struct CpuTarget {
  Level level = Level::kScalar;
  int32_t threads = 1;
};

/// Of a floating-point type.
inline Element ElementOf(DType dtype) {
  return dtype == DType::kFloat32   ? Element::kFloat32
         : dtype == DType::kFloat16 ? Element::kFloat16
                                    : Element::kBFloat16;
}

/// A kernel compiled for a level.
struct KernelUnit {
  Level level;
  CpuKernel* kernel;
};

/// A kernel's units, the better ones later.
struct KernelTable {
  std::span<const KernelUnit> units;

  /// The best unit for products whose factors are both of that type: of bfloat16, their pairs.
  CpuKernel* at(Level level, Element element) const {
    return at(level, element == Element::kBFloat16);
  }
  /// The best unit whose features the level has. `bf16_pairs`: both factors of the products are
  /// bfloat16.
  CpuKernel* at(Level level, bool bf16_pairs = false) const {
    const base::Features all = base::TraitsOf(level).features;
    const base::Features usable = bf16_pairs ? all : all.Without(base::Feature::kBf16Pairs);
    CpuKernel* best = nullptr;
    for (const KernelUnit& unit : units) {
      if (usable.Include(base::TraitsOf(unit.level).features)) best = unit.kernel;
    }
    return best;
  }
};

/// What a kernel's argument points to.
template <class T>
T* Data(const TensorView& view) {
  return static_cast<T*>(view.data);
}

}  // namespace tamis::prim

// An address behind which nothing is.
#pragma once

#include <cstdint>
#include <limits>

namespace tamis::base {

/// Kernels tell by addresses which tensors there are: this one is for tensors that are there, and
/// are not read from or written to.
inline void* Nowhere() {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return reinterpret_cast<void*>(uintptr_t{1} << (std::numeric_limits<uintptr_t>::digits - 1));
}

}  // namespace tamis::base

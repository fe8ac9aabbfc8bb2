// The signature of every CPU kernel. Included by files compiled for one level: no C++ library here.
#pragma once

#include <stdint.h>

namespace tamis::prim {

/// Does item `item` of the work that `args` (the room's own struct) describes. `scratch` belongs to
/// this worker alone and holds nothing before; `shared` is all workers', for what later phases
/// read.
using CpuKernel = void(const void* args, int64_t item, void* scratch, void* shared);

}  // namespace tamis::prim

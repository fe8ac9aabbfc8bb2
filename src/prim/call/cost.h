// What a call reads and writes.
#pragma once

#include <initializer_list>

#include "tamis/tensor.hpp"

namespace tamis::prim {

/// Of tensors as they are shaped; those that are absent have none.
double CountBytes(std::initializer_list<const TensorView*> views);

}  // namespace tamis::prim

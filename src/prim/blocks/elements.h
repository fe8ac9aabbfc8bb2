// The floating-point types of tensors that kernels read and write.
#pragma once

#include <stdint.h>

namespace tamis::prim {

enum class Element : int32_t { kFloat16, kBFloat16, kFloat32 };

static inline int64_t BytesOf(Element element) { return element == Element::kFloat32 ? 4 : 2; }

}  // namespace tamis::prim

// What operators with 16-bit weights check and normalise alike.
#pragma once

#include <cstdint>
#include <string_view>

#include "prim/cpu/linear.h"
#include "tamis/ops/weight_format.hpp"
#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// A weight [K, N] in its format; NZ is refused unless dense, with multiples of 16. The view has
/// passed its contract.
Status NormaliseWeight(std::string_view name, const TensorView& view, WeightFormat format,
                       LinearWeight* weight);

/// The same of a matrix that is ND for certain, from an offset on.
LinearWeight NdWeight(const TensorView& view, int64_t offset);

/// Element (k, n) in elements from the data.
int64_t OffsetOf(const LinearWeight& weight, int64_t k, int64_t n);

/// Of a tensor [T, ...] or [B, S1, ...].
TokenStrides TokenStridesOf(const TensorView& view, bool batched);

}  // namespace tamis::prim

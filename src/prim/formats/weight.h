// What operators with weights check and normalise alike.
#pragma once

#include <cstdint>
#include <string_view>

#include "prim/blocks/linear.h"
#include "tamis/ops/weight_format.hpp"
#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// Refuses a weight [K, N] in NZ unless it is dense, with multiples of 16. The view has passed its
/// contract; an absent one passes.
Status CheckWeight(std::string_view name, const TensorView& view, WeightFormat format);

/// A weight that passed, or without elements where it is absent.
LinearWeight WeightOf(const TensorView& view, WeightFormat format);

/// Of a matrix that is ND for certain: the last two dimensions.
LinearWeight NdWeight(const TensorView& view);

/// Element (k, n) in elements from the data.
int64_t OffsetOf(const LinearWeight& weight, int64_t k, int64_t n);

/// Of a tensor [T, ...] or [B, S1, ...].
TokenStrides TokenStridesOf(const TensorView& view, bool batched);

}  // namespace tamis::prim

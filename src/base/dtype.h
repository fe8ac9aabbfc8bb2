// Sizes and names of element types, and scalar conversions of the 16-bit ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tamis/tensor.hpp"

namespace tamis::base {

/// Bytes of one element; 0 for kNone and for values that are no dtype.
int64_t ItemSize(DType dtype);

/// "float16", "bfloat16", ...; "none" for kNone and for values that are no dtype.
std::string_view Name(DType dtype);

/// The dtype of that name, or kNone.
DType DTypeNamed(std::string_view name);

float Float16ToFloat(uint16_t bits);
float BFloat16ToFloat(uint16_t bits);
/// Both round to nearest even; NaN stays NaN.
uint16_t FloatToFloat16(float value);
uint16_t FloatToBFloat16(float value);

/// Rounds a float64 once, straight to the target (no double rounding through fp32).
uint16_t DoubleToFloat16(double value);
uint16_t DoubleToBFloat16(double value);

/// Element `index` (in elements from `data`) of any dtype as float64.
double LoadAsDouble(const void* data, DType dtype, int64_t index);

/// Stores with one rounding to nearest even; integers must be representable.
void StoreDouble(void* data, DType dtype, int64_t index, double value);

/// "float16, bfloat16 or float32"
std::string DTypeList(const std::vector<DType>& dtypes);

}  // namespace tamis::base

#include "base/dtype.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace tamis::base {
namespace {

struct DTypeRow {
  DType dtype;
  int64_t size;
  std::string_view name;
};

constexpr DTypeRow kDTypes[] = {
    {DType::kFloat16, 2, "float16"}, {DType::kBFloat16, 2, "bfloat16"},
    {DType::kFloat32, 4, "float32"}, {DType::kFloat64, 8, "float64"},
    {DType::kInt8, 1, "int8"},       {DType::kUInt8, 1, "uint8"},
    {DType::kInt32, 4, "int32"},     {DType::kInt64, 8, "int64"},
    {DType::kBool, 1, "bool"},
};

// Rounds |value| to `mantissa_bits` explicit bits and an exponent of at least `min_exponent`, ties
// to even. Exact in float64 for every 16-bit format: the scaled value has at most 12 significant
// bits after rounding.
double RoundToFormat(double value, int mantissa_bits, int min_exponent) {
  int exponent = 0;
  std::frexp(value, &exponent);  // value = m * 2^exponent, 0.5 <= |m| < 1
  const int unit = std::max(exponent - 1, min_exponent) - mantissa_bits;
  return std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
}

template <class T>
T LoadElement(const void* data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

template <class T>
void StoreElement(void* data, int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<int64_t>(sizeof(T)), &value,
              sizeof(T));
}

}  // namespace

int64_t ItemSize(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row.size;
  }
  return 0;
}

std::string_view Name(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row.name;
  }
  return "none";
}

DType DTypeNamed(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return row.dtype;
  }
  return DType::kNone;
}

float Float16ToFloat(uint16_t bits) { return float16::from_bits(bits); }
float BFloat16ToFloat(uint16_t bits) { return bfloat16::from_bits(bits); }
uint16_t FloatToFloat16(float value) { return float16(value).bits; }
uint16_t FloatToBFloat16(float value) { return bfloat16(value).bits; }

uint16_t DoubleToBFloat16(double value) {
  if (std::isnan(value)) return 0x7fc0u;
  if (std::isinf(value) || value == 0) return FloatToBFloat16(static_cast<float>(value));
  const double rounded = RoundToFormat(value, 7, -126);
  // A rounded magnitude of 2^128 or more becomes infinity in the narrowing.
  const float narrow = std::fabs(rounded) >= 0x1p128
                           ? std::copysign(INFINITY, static_cast<float>(std::copysign(1.0, value)))
                           : static_cast<float>(rounded);
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(narrow) >> 16);
}

uint16_t DoubleToFloat16(double value) {
  if (std::isnan(value)) return 0x7e00u;
  const uint16_t sign = std::signbit(value) ? 0x8000u : 0;
  const double magnitude = std::isinf(value) ? value : RoundToFormat(value, 10, -14);
  const double absolute = std::fabs(magnitude);
  if (absolute >= 65536.0) return sign | 0x7c00u;
  if (absolute < 0x1p-14)
    return sign | static_cast<uint16_t>(absolute * 0x1p24);  // subnormal, exact
  int exponent = 0;
  const double fraction = std::frexp(absolute, &exponent);  // 0.5 <= fraction < 1
  const auto mantissa = static_cast<uint16_t>(std::ldexp(fraction, 11)) & 0x3ffu;
  return static_cast<uint16_t>(sign | (static_cast<uint16_t>(exponent - 1 + 15) << 10) | mantissa);
}

double LoadAsDouble(const void* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kFloat16: return Float16ToFloat(LoadElement<uint16_t>(data, index));
    case DType::kBFloat16: return BFloat16ToFloat(LoadElement<uint16_t>(data, index));
    case DType::kFloat32: return LoadElement<float>(data, index);
    case DType::kFloat64: return LoadElement<double>(data, index);
    case DType::kInt8: return LoadElement<int8_t>(data, index);
    case DType::kUInt8:
    case DType::kBool: return LoadElement<uint8_t>(data, index);
    case DType::kInt32: return LoadElement<int32_t>(data, index);
    case DType::kInt64: return static_cast<double>(LoadElement<int64_t>(data, index));
    case DType::kNone: break;
  }
  return 0;
}

void StoreDouble(void* data, DType dtype, int64_t index, double value) {
  switch (dtype) {
    case DType::kFloat16: return StoreElement(data, index, DoubleToFloat16(value));
    case DType::kBFloat16: return StoreElement(data, index, DoubleToBFloat16(value));
    case DType::kFloat32: return StoreElement(data, index, static_cast<float>(value));
    case DType::kFloat64: return StoreElement(data, index, value);
    case DType::kInt8: return StoreElement(data, index, static_cast<int8_t>(value));
    case DType::kUInt8:
    case DType::kBool: return StoreElement(data, index, static_cast<uint8_t>(value));
    case DType::kInt32: return StoreElement(data, index, static_cast<int32_t>(value));
    case DType::kInt64: return StoreElement(data, index, static_cast<int64_t>(value));
    case DType::kNone: break;
  }
}

std::string DTypeList(const std::vector<DType>& dtypes) {
  std::string text;
  for (size_t i = 0; i < dtypes.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == dtypes.size() ? " or " : ", ") + std::string(Name(dtypes[i]));
  }
  return text;
}

}  // namespace tamis::base

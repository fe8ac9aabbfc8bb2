// Element types, and the C++ types of the 16-bit ones.
#pragma once

#include <bit>
#include <cstdint>

namespace tamis {

/// Element types. kNone marks an absent tensor.
enum class DType : int32_t {
  kNone = 0,
  kFloat16 = 1,
  kBFloat16 = 2,
  kFloat32 = 3,
  kFloat64 = 4,
  kInt8 = 5,
  kUInt8 = 6,
  kInt32 = 7,
  kInt64 = 8,
  kBool = 9,
};

namespace internal {
/// value / 2^shift, to nearest, ties to even.
constexpr uint32_t RoundedShift(uint32_t value, uint32_t shift) {
  const uint32_t odd = (value >> shift) & 1u;
  return (value + (uint32_t{1} << (shift - 1)) - 1 + odd) >> shift;
}
}  // namespace internal

/// IEEE half precision. From a float explicitly, to nearest even; to a float exactly.
struct float16 {
  uint16_t bits = 0;

  float16() = default;
  constexpr explicit float16(float value) : bits(Rounded(value)) {}
  static constexpr float16 from_bits(uint16_t bits) {
    float16 half;
    half.bits = bits;
    return half;
  }

  constexpr operator float() const {  // NOLINT(google-explicit-constructor): exact
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
    const uint32_t magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) {  // inf and NaN
      return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    }
    if (magnitude >= 0x0400u) {  // normal: exponent bias 15 -> 127
      return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
    }
    const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;  // exact
    return sign != 0 ? -subnormal : subnormal;
  }

 private:
  static constexpr uint16_t Rounded(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (word >> 16) & 0x8000u;
    const uint32_t magnitude = word & 0x7fffffffu;
    uint32_t half = 0;  // below 2^-25
    if (magnitude > 0x7f800000u) return 0x7e00u;
    if (magnitude >= 0x47800000u) {  // 65536
      half = 0x7c00u;
    } else if (magnitude >= 0x38800000u) {  // 2^-14; a carry of the rounding is the next exponent
      half = internal::RoundedShift(magnitude - (112u << 23), 13);
    } else if (magnitude >= 0x33000000u) {  // 2^-25; in units of 2^-24
      half = internal::RoundedShift((magnitude & 0x7fffffu) | 0x800000u, 126 - (magnitude >> 23));
    }
    return static_cast<uint16_t>(sign | half);
  }
};

/// The upper half of a float. From a float explicitly, to nearest even; to a float exactly.
struct bfloat16 {
  uint16_t bits = 0;

  bfloat16() = default;
  constexpr explicit bfloat16(float value) : bits(Rounded(value)) {}
  static constexpr bfloat16 from_bits(uint16_t bits) {
    bfloat16 half;
    half.bits = bits;
    return half;
  }

  constexpr operator float() const {  // NOLINT(google-explicit-constructor): exact
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }

 private:
  static constexpr uint16_t Rounded(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u)  // NaN stays one
      return static_cast<uint16_t>((word >> 16) | 0x40u);
    return static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
};

/// The element type of a C++ type; kNone: no tensor has such elements.
template <class T>
inline constexpr DType kDTypeOf = DType::kNone;
template <>
inline constexpr DType kDTypeOf<float16> = DType::kFloat16;
template <>
inline constexpr DType kDTypeOf<bfloat16> = DType::kBFloat16;
template <>
inline constexpr DType kDTypeOf<float> = DType::kFloat32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kFloat64;
template <>
inline constexpr DType kDTypeOf<int8_t> = DType::kInt8;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kUInt8;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kInt32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kInt64;
template <>
inline constexpr DType kDTypeOf<bool> = DType::kBool;

template <class T>
concept Element = kDTypeOf<T>
!= DType::kNone;

}  // namespace tamis

/* op::bfloat16, the upper half of a float: see docs/acl.md. C++ only, as on the device. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNN_OPDEV_BFLOAT16_H_
#define TAMIS_COMPAT_ASCEND_ACLNN_OPDEV_BFLOAT16_H_

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace op {

struct bfloat16 {
  struct from_bits_t {};
  static constexpr from_bits_t from_bits() { return from_bits_t(); }

  uint16_t value;

  bfloat16() : value(0) {}
  bfloat16(uint16_t bits, from_bits_t /*unused*/) : value(bits) {}
  /* From any number, by way of float: to nearest, ties to even. */
  template <typename Number,
            typename = typename std::enable_if<std::is_arithmetic<Number>::value>::type>
  bfloat16(Number number) : value(Round(static_cast<float>(number))) {}  // NOLINT

  operator float() const {  // NOLINT: as on the device
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof(result));
    return result;
  }

 private:
  static uint16_t Round(float number) {
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof(bits));
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
  }
};

}  // namespace op

#endif

/* op::fp16_t, 16 bits that convert like a number: see docs/acl.md. C++ only, as on the device. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNN_OPDEV_FP16_T_H_
#define TAMIS_COMPAT_ASCEND_ACLNN_OPDEV_FP16_T_H_

#include <cstdint>
#include <type_traits>

#include "../../acl/acl_base.h"

namespace op {

struct fp16_t {
  uint16_t val;

  fp16_t() : val(0) {}
  /* From any number, by way of float: to nearest, ties to even. */
  template <typename Number,
            typename = typename std::enable_if<std::is_arithmetic<Number>::value>::type>
  fp16_t(Number number) : val(aclFloatToFloat16(static_cast<float>(number))) {}  // NOLINT

  operator float() const { return aclFloat16ToFloat(val); }  // NOLINT: as on the device
};

}  // namespace op

#endif

/* What a program asks about the processor it runs on. Here that is no NPU; the answer is the newest
 * of them, so that no call is left out for want of it. C++ only, as on the device. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNN_OPDEV_PLATFORM_H_
#define TAMIS_COMPAT_ASCEND_ACLNN_OPDEV_PLATFORM_H_

#include <cstdint>

enum class NpuArch : uint32_t {
  DAV_1001 = 1001,
  DAV_2002 = 2002,
  DAV_2201 = 2201,
  DAV_3002 = 3002,
  DAV_3510 = 3510
};

namespace op {

class PlatformInfo {
 public:
  NpuArch GetCurNpuArch() const { return NpuArch::DAV_3510; }
};

inline const PlatformInfo& GetCurrentPlatformInfo() {
  static const PlatformInfo info{};
  return info;
}

}  // namespace op

#endif

// Choices that the attention operators of the NSA family share.
#pragma once

#include <cstdint>

namespace tamis {

/// Which compressed tokens count towards a select block: as the device does (shifted by one), or by
/// true overlap.
enum class Importance : int32_t { kCann = 0, kExactOverlap = 1 };

/// What a row gives whose every key is hidden: the device's uniform average, or zero.
enum class MaskedRows : int32_t { kUniform = 0, kZero = 1 };

}  // namespace tamis

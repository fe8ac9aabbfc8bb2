// Choices that the attention operators of the NSA family share.
#pragma once

#include <cstdint>

namespace tamis {

/// Which compressed tokens count towards a select block: as the device does (shifted by one), or by
/// true overlap.
enum class Importance : int32_t { kCann = 0, kExactOverlap = 1 };

/// What a row gives whose every key is hidden: the device's uniform average, or zero.
enum class MaskedRows : int32_t { kUniform = 0, kZero = 1 };

/// Which blocks are candidates and which are forced. As the device: by the compressed keys of the
/// sequence, each operator in its own way. Causal: those of the raw tokens that the query sees, so
/// that prefill, chunks and decoding select alike.
enum class Selection : int32_t { kDevice = 0, kCausal = 1 };

}  // namespace tamis

// A choice that the attention operators share.
#pragma once

#include <cstdint>

namespace tamis {

/// The dtype of an attention output: that of the query, or fp32, for who goes on with it: merges
/// parts of a softmax, or adds to it. Values are the same, not rounded.
enum class OutDtype : int32_t { kInput = 0, kFloat32 = 1 };

}  // namespace tamis

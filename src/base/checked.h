// Overflow-safe shape arithmetic.
#pragma once

#include <cstdint>

namespace tamis::base {

/// Sets *result and returns true, or returns false where the product leaves int64.
inline bool CheckedMul(int64_t a, int64_t b, int64_t* result) {
  return !__builtin_mul_overflow(a, b, result);
}
inline bool CheckedAdd(int64_t a, int64_t b, int64_t* result) {
  return !__builtin_add_overflow(a, b, result);
}

/// ceil(a / b) for a >= 0, b > 0; cannot overflow.
inline int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

inline int64_t RoundUp(int64_t a, int64_t multiple) { return CeilDiv(a, multiple) * multiple; }

}  // namespace tamis::base

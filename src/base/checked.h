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

/// Wraps where the product leaves int64: for a product that is used only after its factors have
/// been checked.
inline int64_t WrappingMul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

/// ceil(a / b) for a >= 0, b > 0; cannot overflow.
inline int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

inline int64_t RoundUp(int64_t a, int64_t multiple) { return CeilDiv(a, multiple) * multiple; }

}  // namespace tamis::base

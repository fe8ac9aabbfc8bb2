// Tensors of the prologs: values that depend on a seed, a name and a place only, so that a call and
// a part of it see the same ones; and weights in either format.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/test_call.h"

namespace tamis::test {

/// Standard normal.
inline double Draw(uint64_t seed, const char* name, int64_t place) {
  uint64_t state = seed;
  for (; *name != 0; ++name) state = Random(state ^ static_cast<unsigned char>(*name)).Next();
  return Random(state + static_cast<uint64_t>(place)).Normal();
}

/// Where element `place` of the memory of a matrix [rows, columns] in NZ stands in row-major order.
inline int64_t RowMajorPlace(int64_t place, int64_t rows, int64_t columns) {
  const int64_t panel = place / (rows * 16);
  const int64_t row = place % (rows * 16) / 16;
  return row * columns + panel * 16 + place % 16;
}

/// Sets weight `name` [rows, columns], scaled so that products stay near 1; the values do not
/// depend on the format.
inline void SetWeight(TestCall* call, const char* name, DType dtype, int64_t rows, int64_t columns,
                      bool nz, int64_t gap, uint64_t seed) {
  const double scale = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(rows, 1)));
  call->Strided(name, dtype, {rows, columns}, nz ? 0 : gap, [&](int64_t i) {
    return scale * Draw(seed, name, nz ? RowMajorPlace(i, rows, columns) : i);
  });
}

/// [tokens, inner...], or [batch, tokens / batch, inner...] where batch is not 0.
inline std::vector<int64_t> TokenShape(int64_t tokens, int64_t batch, std::vector<int64_t> inner) {
  std::vector<int64_t> shape = {tokens};
  if (batch > 0) shape = {batch, tokens / batch};
  shape.insert(shape.end(), inner.begin(), inner.end());
  return shape;
}

/// `tokens` slots, most of them distinct, some negative, some twice.
inline std::vector<int64_t> RandomSlots(int64_t tokens, int64_t capacity, Random* random) {
  std::vector<int64_t> slots;
  for (int64_t t = 0; t < tokens; ++t)
    slots.push_back(capacity == 0 || random->Below(6) == 0 ? -1 - random->Below(3)
                                                           : random->Below(capacity));
  return slots;
}

}  // namespace tamis::test

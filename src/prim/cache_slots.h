// Which tokens write which rows of a cache: slots are data from outside, and several tokens may
// name the same one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// The slot that every token of `cache_index` ([T] or [B, S1], int32 or int64) writes, in order;
/// -1: it writes nothing, because its slot is negative or a later token has the same one. A slot at
/// or past `capacity` is refused.
Status CacheSlots(const TensorView& cache_index, int64_t capacity, std::vector<int64_t>* slots);

/// Whether any token writes a row. If none does, what only the caches need is not computed.
inline bool WritesAny(const std::vector<int64_t>& slots) {
  return std::any_of(slots.begin(), slots.end(), [](int64_t slot) { return slot >= 0; });
}

/// Offset of a slot's row in a cache [pages, page_size, 1, width], in elements.
inline int64_t SlotOffset(const TensorView& cache, int64_t slot) {
  return slot / cache.shape[1] * cache.strides[0] + slot % cache.shape[1] * cache.strides[1];
}

}  // namespace tamis::prim

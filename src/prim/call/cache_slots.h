// Which tokens write which rows of a cache: slots are data from outside, and several tokens may
// name the same one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "prim/call/tokens.h"
#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// The slot of a token of `slots` ([T], where `batch` is 0, or [B, S1], int32 or int64); -1 where
/// it is negative. One at or past `capacity` is refused. Errors call the tensor `name`.
Status ReadSlot(const char* name, const TensorView& slots, int64_t batch, int64_t token,
                int64_t capacity, int64_t* slot);

/// Of tokens with the same slot the last keeps it, the others get -1. `order` is scratch: with
/// lists that were as long before, nothing is allocated.
void KeepLastOfEach(std::vector<int64_t>* slots, std::vector<size_t>* order);

/// The slot that every token of `cache_index` writes, in order; -1: it writes nothing, because its
/// slot is negative or a later token has the same one.
Status CacheSlots(const TensorView& cache_index, int64_t capacity, std::vector<int64_t>* slots,
                  std::vector<size_t>* order);

/// Whether any token writes a row. If none does, what only the caches need is not computed.
inline bool WritesAny(const std::vector<int64_t>& slots) {
  return std::any_of(slots.begin(), slots.end(), [](int64_t slot) { return slot >= 0; });
}

/// Where the rows of a cache [pages, page_size, 1, width] lie.
inline CachePages PagesOf(const TensorView& cache) {
  return {cache.shape[1], cache.strides[0], cache.strides[1]};
}

}  // namespace tamis::prim

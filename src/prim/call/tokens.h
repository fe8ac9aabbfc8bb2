// Where the query tokens of a tensor lie, and the rows of a cache.
#pragma once

#include <stdint.h>

namespace tamis::prim {

/// Strides in elements; of TND, [T, ...], batch is 0.
struct Tokens {
  int64_t batch;
  int64_t token;
};

/// Of token `token` of sequence `batch`; TND: of the token alone.
static inline int64_t OffsetOf(const Tokens& at, int64_t batch, int64_t token) {
  return batch * at.batch + token * at.token;
}

/// Pages of a cache; strides in elements.
struct CachePages {
  int64_t page_size;
  int64_t page;
  int64_t row;
};

static inline int64_t OffsetOf(const CachePages& at, int64_t slot) {
  return slot / at.page_size * at.page + slot % at.page_size * at.row;
}

}  // namespace tamis::prim

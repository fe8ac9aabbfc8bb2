// Page tables are data from outside: every entry that will be read is checked before anything runs.
#pragma once

#include <cstdint>

#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// `block_table` is [batch, max_pages] int32. The pages that hold keys [first, keys) of sequence
/// `batch` lie in the table and in a cache of `pages` pages; entries of others are not looked at.
Status CheckPageTable(const TensorView& block_table, int64_t batch, int64_t keys, int64_t page_size,
                      int64_t pages, int64_t first = 0);

}  // namespace tamis::prim

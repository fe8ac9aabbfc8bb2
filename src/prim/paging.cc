#include "prim/paging.h"

#include <string>

#include "base/checked.h"
#include "base/errors.h"

namespace tamis::prim {

Status CheckPageTable(const TensorView& block_table, int64_t batch, int64_t keys, int64_t page_size,
                      int64_t pages, int64_t first) {
  const int64_t needed = base::CeilDiv(keys, page_size);
  if (needed > block_table.shape[1]) {
    return base::Invalid("block_table",
                         "at least " + std::to_string(needed) + " pages for the " +
                             std::to_string(keys) + " keys of sequence " + std::to_string(batch),
                         block_table.shape[1]);
  }
  const auto* table =
      static_cast<const int32_t*>(block_table.data) + batch * block_table.strides[0];
  for (int64_t i = first / page_size; i < needed; ++i) {
    if (table[i] < 0 || table[i] >= pages) {
      return base::Invalid("block_table[" + std::to_string(batch) + ", " + std::to_string(i) + "]",
                           "a page in [0, " + std::to_string(pages) + ")", table[i]);
    }
  }
  return Status::Ok();
}

}  // namespace tamis::prim

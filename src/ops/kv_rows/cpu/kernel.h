// What the kernels of the kv_rows room take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/call/kernel.h"
#include "prim/formats/kv_row.h"

namespace tamis::kv_rows {

/// Strides in bytes. Where scales lie apart, all rows are one page.
struct KernelArgs {
  uint8_t* rows;
  int64_t rows_stride;
  uint8_t* latent;
  int64_t latent_stride;
  uint8_t* rope;  // null: not wanted
  int64_t rope_stride;
  int64_t count;
  prim::KvRow format;
  prim::Element element;
};

inline constexpr int64_t kRowsPerItem = 64;  // 100 KB at 512 and 64 dims, both sides

}  // namespace tamis::kv_rows

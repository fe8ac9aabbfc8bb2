// What the kernels of quantize_index_keys take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/call/kernel.h"
#include "prim/formats/key_shadow.h"

namespace tamis::quantize_index_keys {

/// Strides in bytes.
struct KernelArgs {
  const uint8_t* key;
  int64_t key_page_stride;
  int64_t key_stride;
  uint8_t* shadow;
  int64_t shadow_page_stride;
  int64_t panel_stride;
  int64_t count;   // panels of all pages
  int64_t panels;  // of a page
  int64_t page_size;
  int64_t dim;
  prim::Element element;
};

inline constexpr int64_t kPanelsPerItem = 16;  // 100 KB at 128 dims, both sides

}  // namespace tamis::quantize_index_keys

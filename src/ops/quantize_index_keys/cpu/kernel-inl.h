// quantize_index_keys, one level: an item is a few panels.
#include "ops/quantize_index_keys/cpu/kernel.h"
#include "prim/formats/key_shadow-inl.h"

namespace tamis::TAMIS_LEVEL {

void QuantizeIndexKeys(const void* args, int64_t item, void* scratch, void*) {
  using tamis::prim::kShadowKeys;
  using tamis::quantize_index_keys::kPanelsPerItem;
  const auto& a = *static_cast<const tamis::quantize_index_keys::KernelArgs*>(args);
  const int64_t begin = item * kPanelsPerItem;
  const int64_t end = a.count - begin < kPanelsPerItem ? a.count : begin + kPanelsPerItem;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = i % a.panels * kShadowKeys;
    const int64_t count = a.page_size - first < kShadowKeys ? a.page_size - first : kShadowKeys;
    const void* rows[kShadowKeys];
    for (int64_t k = 0; k < count; ++k)
      rows[k] = a.key + i / a.panels * a.key_page_stride + (first + k) * a.key_stride;
    ShadowPanel(a.element, rows, count, a.dim, static_cast<uint8_t*>(scratch),
                a.shadow + i / a.panels * a.shadow_page_stride + i % a.panels * a.panel_stride);
  }
}

}  // namespace tamis::TAMIS_LEVEL

// pack_kv_rows and unpack_kv_rows, one level: an item is a run of rows.
#include "ops/kv_rows/cpu/kernel.h"
#include "prim/formats/kv_row-inl.h"

namespace tamis::TAMIS_LEVEL {

void PackKvRows(const void* args, int64_t item, void*, void*) {
  const auto& a = *static_cast<const kv_rows::KernelArgs*>(args);
  const int64_t begin = item * kv_rows::kRowsPerItem;
  for (int64_t i = begin; i < begin + kv_rows::kRowsPerItem && i < a.count; ++i) {
    uint8_t* row = a.rows + a.format.RowAt(i, a.rows_stride);
    uint8_t* scales = a.rows + a.format.ScalesAt(i, a.count, a.rows_stride);
    PackKvLatent(a.element, a.format, a.latent + i * a.latent_stride, row, scales);
    if (a.format.rope_dim > 0) PackKvRope(a.element, a.format, a.rope + i * a.rope_stride, row);
  }
}

void UnpackKvRows(const void* args, int64_t item, void* scratch, void*) {
  const auto& a = *static_cast<const kv_rows::KernelArgs*>(args);
  auto* values = static_cast<float*>(scratch);
  const int64_t begin = item * kv_rows::kRowsPerItem;
  for (int64_t i = begin; i < begin + kv_rows::kRowsPerItem && i < a.count; ++i) {
    const uint8_t* row = a.rows + a.format.RowAt(i, a.rows_stride);
    const uint8_t* scales = a.rows + a.format.ScalesAt(i, a.count, a.rows_stride);
    WidenKvLatent(a.element, a.format, row, scales, values);
    Narrow(a.element, values, 1.0f, a.format.latent_dim, a.latent + i * a.latent_stride);
    if (a.rope != nullptr && a.format.rope_dim > 0)
      UnpackKvRope(a.element, a.format, row, a.rope + i * a.rope_stride);
  }
}

}  // namespace tamis::TAMIS_LEVEL

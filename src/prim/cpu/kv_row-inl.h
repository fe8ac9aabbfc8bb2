// Rows of bytes as fp32: see prim/kv_row.h. Rows may lie at any address.
#pragma once

#include "prim/cpu/half-inl.h"
#include "prim/kv_row.h"

namespace tamis::TAMIS_LEVEL {
namespace {

static_assert(prim::kKvRowGroup % kLanes == 0);

template <class Half, bool kFp8>
TAMIS_INLINE void WidenKvLatentAs(const prim::KvRow& format, const uint8_t* row, float* to) {
  for (int64_t c = 0; c < format.latent_dim; c += prim::kKvRowGroup) {
    float scale;
    __builtin_memcpy(&scale, row + format.scales_at() + c / prim::kKvRowGroup * 4, 4);
    for (int64_t i = c; i < c + prim::kKvRowGroup; i += kLanes) {
      const V q = kFp8 ? LoadE4M3(row + i) : LoadI8(row + i);
      Store(to + i, Half::Round(Mul(q, Set(scale))));
    }
  }
}
TAMIS_INLINE void WidenKvLatent(bool bfloat16, const prim::KvRow& format, const uint8_t* row,
                                float* to) {
  if (bfloat16) {
    format.fp8 ? WidenKvLatentAs<BF16, true>(format, row, to)
               : WidenKvLatentAs<BF16, false>(format, row, to);
  } else {
    format.fp8 ? WidenKvLatentAs<F16, true>(format, row, to)
               : WidenKvLatentAs<F16, false>(format, row, to);
  }
}

TAMIS_INLINE void WidenKvRope(bool bfloat16, const prim::KvRow& format, const uint8_t* row,
                              float* to) {
  for (int64_t c = 0; c < format.rope_dim; c += kLanes) {
    const int64_t count = format.rope_dim - c < kLanes ? format.rope_dim - c : kLanes;
    uint16_t halves[kLanes];
    __builtin_memcpy(halves, row + format.rope_at() + 2 * c, static_cast<size_t>(2 * count));
    Widen(bfloat16, halves, count, to + c);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// Rows of bytes as fp32: see prim/formats/kv_row.h. Rows may lie at any address.
#pragma once

#include "prim/blocks/elements-inl.h"
#include "prim/formats/kv_row.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// Groups are of 64 or 128 channels.
static_assert(64 % kLanes == 0);

// The scale of group `group`.
TAMIS_INLINE float LoadKvScale(const prim::KvRow& format, const uint8_t* scales, int64_t group) {
  if (format.scale == prim::KvScale::kE8M0) {
    const uint32_t code = scales[group];
    const uint32_t bits = code == 0 ? 0x00400000u : code == 255 ? 0x7fc00000u : code << 23;
    return __builtin_bit_cast(float, bits);
  }
  float scale;
  __builtin_memcpy(&scale, scales + group * 4, 4);
  return scale;
}

template <class Element, bool kFp8>
TAMIS_INLINE void WidenKvLatentAs(const prim::KvRow& format, const uint8_t* row,
                                  const uint8_t* scales, float* to) {
  int64_t group = 0;
  for (int64_t c = 0; c < format.latent_dim; c += format.group) {
    const float scale = LoadKvScale(format, scales, group++);
    for (int64_t i = c; i < c + format.group; i += kLanes) {
      const V q = kFp8 ? LoadE4M3(row + i) : LoadI8(row + i);
      Store(to + i, Element::Round(Mul(q, Set(scale))));
    }
  }
}
TAMIS_INLINE void WidenKvLatent(prim::Element element, const prim::KvRow& format,
                                const uint8_t* row, const uint8_t* scales, float* to) {
  WithElement(
      element, [&](auto e) __attribute__((always_inline)) {
        format.fp8 ? WidenKvLatentAs<decltype(e), true>(format, row, scales, to)
                   : WidenKvLatentAs<decltype(e), false>(format, row, scales, to);
      });
}

TAMIS_INLINE void WidenKvRope(const prim::KvRow& format, const uint8_t* row, float* to) {
  for (int64_t c = 0; c < format.rope_dim; c += kLanes) {
    const int64_t count = format.rope_dim - c < kLanes ? format.rope_dim - c : kLanes;
    uint16_t halves[kLanes];
    __builtin_memcpy(halves, row + format.rope_at() + 2 * c, static_cast<size_t>(2 * count));
    WithHalf(
        format.rope, [&](auto e) __attribute__((always_inline)) {
          WidenAs<decltype(e)>(halves, count, to + c);
        });
  }
}

// --- the writer: loops that compilers turn into vectors, the same bytes at every level

TAMIS_INLINE uint32_t BitsOfFloat(float x) { return __builtin_bit_cast(uint32_t, x); }
TAMIS_INLINE float FloatOfBits(uint32_t bits) { return __builtin_bit_cast(float, bits); }

// To nearest even, for |x| < 2^22: the sum's last bit is worth 1.
TAMIS_INLINE uint8_t NearestInt8(float x) {
  return static_cast<uint8_t>(BitsOfFloat(x + 0x1.8p23f));
}

// To nearest even, for |x| <= 448. Normal codes: the mantissa's upper 3 bits, exponent bias 127 to
// 7. Below 2^-6 codes are multiples of 2^-9, which is what the last bit of 2^14 + |x| is worth.
TAMIS_INLINE uint8_t NearestE4M3(float x) {
  const uint32_t bits = BitsOfFloat(x);
  const uint32_t size = bits & 0x7fffffffu;
  const uint32_t normal = ((size + 0x7ffffu + ((size >> 20) & 1u)) >> 20) - (120u << 3);
  const uint32_t tiny = BitsOfFloat(FloatOfBits(size) + 0x1p14f) - BitsOfFloat(0x1p14f);
  return static_cast<uint8_t>((size < BitsOfFloat(0x1p-6f) ? tiny : normal) |
                              ((bits >> 24) & 0x80u));
}

// `amax` is finite.
TAMIS_INLINE float NewKvScale(bool fp8, float amax) {
  if (!fp8) return (amax > prim::kLeastInt8Amax ? amax : prim::kLeastInt8Amax) / 127.0f;
  const float least = amax / 448.0f;
  const uint32_t bits = BitsOfFloat(least > prim::kLeastFp8Scale ? least : prim::kLeastFp8Scale);
  return FloatOfBits((bits + 0x7fffffu) & 0x7f800000u);  // up to a power of two
}

TAMIS_INLINE void StoreKvScale(const prim::KvRow& format, float scale, int64_t group,
                               uint8_t* scales) {
  if (format.scale == prim::KvScale::kE8M0) {  // of a power of two, or NaN
    scales[group] = static_cast<uint8_t>((BitsOfFloat(scale) >> 23) & 0xffu);
  } else {
    __builtin_memcpy(scales + group * 4, &scale, 4);
  }
}

TAMIS_INLINE void PackKvLatent(prim::Element element, const prim::KvRow& format,
                               const uint8_t* latent, uint8_t* row, uint8_t* scales) {
  const int64_t bytes = prim::BytesOf(element);
  int64_t group = 0;
  for (int64_t c = 0; c < format.latent_dim; c += format.group) {
    float x[prim::kMostKvGroup];
    Widen(element, latent + c * bytes, format.group, x);
    uint32_t most = 0;  // bits of sizes are ordered as sizes are, NaN above all
    for (int64_t i = 0; i < format.group; ++i) {
      const uint32_t size = BitsOfFloat(x[i]) & 0x7fffffffu;
      most = size > most ? size : most;
    }
    const bool finite = most < 0x7f800000u;
    const float scale = finite ? NewKvScale(format.fp8, FloatOfBits(most)) : __builtin_nanf("");
    uint8_t q[prim::kMostKvGroup] = {};
    if (finite && format.fp8) {
      for (int64_t i = 0; i < format.group; ++i) q[i] = NearestE4M3(x[i] / scale);
    } else if (finite) {
      for (int64_t i = 0; i < format.group; ++i) q[i] = NearestInt8(x[i] / scale);
    }
    __builtin_memcpy(row + c, q, static_cast<size_t>(format.group));
    StoreKvScale(format, scale, group++, scales);
  }
  for (int64_t i = 0; i < format.padding; ++i) scales[format.scale_bytes() - 1 - i] = 0;
}

// The rotary part, from or to elements of the format's type or fp32. Rows lie at any address.
TAMIS_INLINE void PackKvRope(prim::Element element, const prim::KvRow& format, const uint8_t* rope,
                             uint8_t* row) {
  if (element != prim::Element::kFloat32) {
    __builtin_memcpy(row + format.rope_at(), rope, static_cast<size_t>(format.rope_bytes()));
    return;
  }
  for (int64_t c = 0; c < format.rope_dim; c += kLanes) {
    const int64_t count = format.rope_dim - c < kLanes ? format.rope_dim - c : kLanes;
    float values[kLanes] = {};
    uint16_t halves[kLanes];
    __builtin_memcpy(values, rope + 4 * c, static_cast<size_t>(4 * count));
    WithHalf(
        format.rope, [&](auto e) __attribute__((always_inline)) {
          NarrowAs<decltype(e)>(values, 1.0f, kLanes, halves);
        });
    __builtin_memcpy(row + format.rope_at() + 2 * c, halves, static_cast<size_t>(2 * count));
  }
}
TAMIS_INLINE void UnpackKvRope(prim::Element element, const prim::KvRow& format, const uint8_t* row,
                               void* rope) {
  if (element == prim::Element::kFloat32) {
    WidenKvRope(format, row, static_cast<float*>(rope));
  } else {
    __builtin_memcpy(rope, row + format.rope_at(), static_cast<size_t>(format.rope_bytes()));
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

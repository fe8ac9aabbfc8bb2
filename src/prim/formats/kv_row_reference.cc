#include "prim/formats/kv_row_reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/dtype.h"

namespace tamis::prim {

float E4M3ToFloat(uint8_t code) {
  const int exponent = code >> 3 & 15;
  const int mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (code & 0x80) != 0 ? -size : size;
}

namespace {

// The nearest of all codes; of two equally near the even one. |value| is at most 448.
uint8_t FloatToE4M3(float value) {
  const auto size = static_cast<double>(std::fabs(value));
  uint8_t best = 0;
  for (uint8_t code = 1; code < 0x7f; ++code) {
    const double here = std::fabs(static_cast<double>(E4M3ToFloat(code)) - size);
    const double there = std::fabs(static_cast<double>(E4M3ToFloat(best)) - size);
    if (here < there || (here == there && code % 2 == 0)) best = code;
  }
  return std::signbit(value) ? best | 0x80 : best;
}

float ScaleOf(const KvRow& format, float amax) {
  if (!format.fp8) return std::max(amax, kLeastInt8Amax) / 127.0f;
  int exponent = 0;  // of the next power of two: scale = fraction * 2^exponent
  const float fraction = std::frexp(std::max(amax / 448.0f, kLeastFp8Scale), &exponent);
  return std::ldexp(1.0f, fraction == 0.5f ? exponent - 1 : exponent);
}

float LoadScale(const KvRow& format, const uint8_t* scales, int64_t group) {
  if (format.scale == KvScale::kE8M0) {
    return scales[group] == 255 ? std::numeric_limits<float>::quiet_NaN()
                                : std::ldexp(1.0f, scales[group] - 127);
  }
  float scale = 0;
  std::memcpy(&scale, scales + 4 * group, sizeof(scale));
  return scale;
}

}  // namespace

std::vector<uint8_t> EncodeKvRow(const KvRow& format, const std::vector<float>& latent,
                                 const uint16_t* rope) {
  std::vector<uint8_t> row(static_cast<size_t>(format.width()));
  uint8_t* const scales = row.data() + format.ScalesAt(0, 1, 0);
  for (int64_t group = 0; group < format.latent_dim / format.group; ++group) {
    const float* x = latent.data() + group * format.group;
    float amax = 0;
    bool finite = true;
    for (int64_t i = 0; i < format.group; ++i) {
      amax = std::max(amax, std::fabs(x[i]));
      finite = finite && std::isfinite(x[i]);
    }
    const float scale = finite ? ScaleOf(format, amax) : std::numeric_limits<float>::quiet_NaN();
    if (format.scale == KvScale::kE8M0) {
      scales[group] = finite ? static_cast<uint8_t>(std::ilogb(scale) + 127) : 255;
    } else {
      std::memcpy(scales + 4 * group, &scale, 4);
    }
    for (int64_t i = 0; i < format.group && finite; ++i) {
      const float q = x[i] / scale;  // rounded to fp32, as on the device
      row[static_cast<size_t>(group * format.group + i)] =
          format.fp8 ? FloatToE4M3(q)
                     : static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(q)));
    }
  }
  if (format.rope_dim > 0)
    std::memcpy(row.data() + format.rope_at(), rope, static_cast<size_t>(format.rope_bytes()));
  return row;
}

std::vector<double> DecodeKvRow(const KvRow& format, DType dtype, const uint8_t* row,
                                const uint8_t* scales) {
  std::vector<double> values(static_cast<size_t>(format.latent_dim + format.rope_dim));
  for (int64_t c = 0; c < format.latent_dim; ++c) {
    const float scale = LoadScale(format, scales, c / format.group);
    const float q =
        format.fp8 ? E4M3ToFloat(row[c]) : static_cast<float>(static_cast<int8_t>(row[c]));
    const float product = q * scale;  // the device multiplies in fp32, then rounds
    values[static_cast<size_t>(c)] = dtype == DType::kFloat32 ? product
                                     : dtype == DType::kBFloat16
                                         ? base::BFloat16ToFloat(base::FloatToBFloat16(product))
                                         : base::Float16ToFloat(base::FloatToFloat16(product));
  }
  const DType rope = format.rope == Element::kFloat16 ? DType::kFloat16 : DType::kBFloat16;
  for (int64_t c = 0; c < format.rope_dim; ++c) {
    values[static_cast<size_t>(format.latent_dim + c)] =
        base::LoadAsDouble(row + format.rope_at(), rope, c);
  }
  return values;
}

}  // namespace tamis::prim

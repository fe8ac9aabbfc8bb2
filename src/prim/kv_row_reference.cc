#include "prim/kv_row_reference.h"

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

std::vector<double> DecodeKvRow(const KvRow& format, DType dtype, const uint8_t* row) {
  std::vector<double> values(static_cast<size_t>(format.latent_dim + format.rope_dim));
  for (int64_t c = 0; c < format.latent_dim; ++c) {
    float scale = 0;
    std::memcpy(&scale, row + format.scales_at() + c / kKvRowGroup * 4, sizeof(scale));
    const float q =
        format.fp8 ? E4M3ToFloat(row[c]) : static_cast<float>(static_cast<int8_t>(row[c]));
    const float product = q * scale;  // the device multiplies in fp32, then rounds
    values[static_cast<size_t>(c)] = dtype == DType::kBFloat16
                                         ? base::BFloat16ToFloat(base::FloatToBFloat16(product))
                                         : base::Float16ToFloat(base::FloatToFloat16(product));
  }
  for (int64_t c = 0; c < format.rope_dim; ++c) {
    values[static_cast<size_t>(format.latent_dim + c)] =
        base::LoadAsDouble(row + format.rope_at(), dtype, c);
  }
  return values;
}

}  // namespace tamis::prim

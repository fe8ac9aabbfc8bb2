// Rows of bytes decoded and encoded one value at a time: the specification of
// prim/formats/kv_row.h.
#pragma once

#include <cstdint>
#include <vector>

#include "prim/formats/kv_row.h"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// The value of an fp8 e4m3fn code: no infinities, 0x7f and 0xff are NaN.
float E4M3ToFloat(uint8_t code);

/// The latent, rounded to `dtype` unless that is fp32, and then the rotary part.
std::vector<double> DecodeKvRow(const KvRow& format, DType dtype, const uint8_t* row,
                                const uint8_t* scales);

/// A row from its latent, in values of a 16-bit type, and the bits of its rotary part; scales that
/// lie apart come last.
std::vector<uint8_t> EncodeKvRow(const KvRow& format, const std::vector<float>& latent,
                                 const uint16_t* rope);

}  // namespace tamis::prim

// Rows of bytes that hold keys.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "prim/formats/kv_row.h"
#include "tests/support/test_call.h"

namespace tamis::test {

/// One row of random content in the format; `dtype` is that of its rotary part.
inline std::vector<uint8_t> RandomKvRow(const prim::KvRow& row, DType dtype, Random* random) {
  std::vector<uint8_t> bytes(static_cast<size_t>(row.width()));
  for (int64_t c = 0; c < row.latent_dim; ++c) {
    auto code = static_cast<uint8_t>(random->Next());
    if (row.fp8 && (code & 0x7f) == 0x7f) code = 0x7e;  // not NaN
    bytes[static_cast<size_t>(c)] = code;
  }
  for (int64_t g = 0; g < row.latent_dim / prim::kKvRowGroup; ++g) {
    const auto scale = static_cast<float>((0.5 + random->Uniform()) / (row.fp8 ? 200 : 100));
    std::memcpy(bytes.data() + row.scales_at() + 4 * g, &scale, 4);
  }
  for (int64_t c = 0; c < row.rope_dim; ++c)
    base::StoreDouble(bytes.data() + row.rope_at(),
                      dtype == DType::kFloat16 ? dtype : DType::kBFloat16, c, random->Normal());
  return bytes;
}

}  // namespace tamis::test

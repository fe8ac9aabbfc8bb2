// Rows of bytes that hold keys.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "prim/formats/kv_row.h"
#include "tests/support/test_call.h"

namespace tamis::test {

/// The format of that name in `kv_format`.
inline prim::KvRow KvFormatOf(const std::string& name, int64_t latent_dim, int64_t rope_dim) {
  return name == "cann656"       ? prim::KvRow::Cann(latent_dim, rope_dim)
         : name == "flashmla656" ? prim::KvRow::FlashMla(latent_dim, rope_dim)
                                 : prim::KvRow::FlashMlaApart(latent_dim, rope_dim);
}

/// One row of random content in the format, scales that lie apart last; `dtype` is that of its
/// rotary part.
inline std::vector<uint8_t> RandomKvRow(const prim::KvRow& row, DType dtype, Random* random) {
  std::vector<uint8_t> bytes(static_cast<size_t>(row.width()));
  for (int64_t c = 0; c < row.latent_dim; ++c) {
    auto code = static_cast<uint8_t>(random->Next());
    if (row.fp8 && (code & 0x7f) == 0x7f) code = 0x7e;  // not NaN
    bytes[static_cast<size_t>(c)] = code;
  }
  uint8_t* const scales = bytes.data() + row.ScalesAt(0, 1, 0);
  for (int64_t g = 0; g < row.latent_dim / row.group; ++g) {
    const auto scale = static_cast<float>((0.5 + random->Uniform()) / (row.fp8 ? 200 : 100));
    if (row.scale == prim::KvScale::kE8M0) {
      scales[g] = static_cast<uint8_t>(random->Between(117, 121));  // 2^-10 to 2^-6
    } else {
      std::memcpy(scales + 4 * g, &scale, 4);
    }
  }
  for (int64_t c = 0; c < row.rope_dim; ++c)
    base::StoreDouble(bytes.data() + row.rope_at(),
                      dtype == DType::kFloat16 ? dtype : DType::kBFloat16, c, random->Normal());
  return bytes;
}

/// Pages of `rows` rows each, in memory: random ones where `holds`, else bytes of ones.
inline std::vector<uint8_t> RandomKvPages(const prim::KvRow& row, int64_t pages, int64_t rows,
                                          const std::function<bool(int64_t)>& holds, DType dtype,
                                          Random* random) {
  const int64_t page_bytes = rows * row.width();
  std::vector<uint8_t> bytes(static_cast<size_t>(pages * page_bytes), 0xff);
  for (int64_t r = 0; r < pages * rows; ++r) {
    if (!holds(r)) continue;
    const std::vector<uint8_t> one = RandomKvRow(row, dtype, random);
    const auto page = bytes.begin() + r / rows * page_bytes;
    std::copy_n(one.begin(), row.row_bytes(), page + row.RowAt(r % rows, row.width()));
    std::copy_n(one.begin() + row.ScalesAt(0, 1, 0), row.scale_bytes(),
                page + row.ScalesAt(r % rows, rows, row.width()));
  }
  return bytes;
}

}  // namespace tamis::test

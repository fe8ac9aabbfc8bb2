// The specification: rows encoded and decoded one value at a time. Bytes are exact, and so is the
// decoded latent, whose one rounding is part of the format.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/kv_rows/problem.h"
#include "prim/formats/kv_row_reference.h"

namespace tamis {

void pack_kv_rows::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                                      base::Golden* golden) {
  std::vector<float> latent(static_cast<size_t>(p.format.latent_dim));
  for (size_t c = 0; c < latent.size(); ++c) {
    latent[c] = static_cast<float>(base::LoadAsDouble(
        in.latent.data, p.dtype, row * in.latent.strides[0] + static_cast<int64_t>(c)));
  }
  const auto* rope = static_cast<const uint16_t*>(in.rope.data) + row * in.rope.strides[0];
  const std::vector<uint8_t> bytes = prim::EncodeKvRow(p.format, latent, rope);
  std::copy(bytes.begin(), bytes.end(), golden->outputs[0].Row(static_cast<int64_t>(slot)));
}

void unpack_kv_rows::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row,
                                        size_t slot, base::Golden* golden) {
  const auto* bytes = static_cast<const uint8_t*>(in.rows.data) + row * in.rows.strides[0];
  const std::vector<double> values = prim::DecodeKvRow(p.format, p.dtype, bytes);
  const auto rope = values.begin() + p.format.latent_dim;
  std::copy(values.begin(), rope, golden->outputs[0].Row(static_cast<int64_t>(slot)));
  std::copy(rope, values.end(), golden->outputs[1].Row(static_cast<int64_t>(slot)));
}

}  // namespace tamis

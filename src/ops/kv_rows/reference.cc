// The specification: rows encoded and decoded one value at a time. Bytes are exact, and so is the
// decoded latent, whose one rounding is part of the format.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/kv_rows/problem.h"
#include "prim/formats/kv_row_reference.h"

namespace tamis {

namespace {

std::vector<uint8_t> PackedRow(const kv_rows::Problem& p, const pack_kv_rows::Params& in,
                               int64_t row) {
  std::vector<float> latent(static_cast<size_t>(p.format.latent_dim));
  for (size_t c = 0; c < latent.size(); ++c) {
    latent[c] = static_cast<float>(base::LoadAsDouble(
        in.latent.data, p.dtype, row * in.latent.strides[0] + static_cast<int64_t>(c)));
  }
  const DType stored = p.dtype == DType::kFloat16 ? p.dtype : DType::kBFloat16;
  std::vector<uint16_t> rope(static_cast<size_t>(p.format.rope_dim));
  for (int64_t c = 0; c < p.format.rope_dim; ++c) {
    base::StoreDouble(rope.data(), stored, c,
                      base::LoadAsDouble(in.rope.data, p.dtype, row * in.rope.strides[0] + c));
  }
  return prim::EncodeKvRow(p.format, latent, rope.data());
}

}  // namespace

// A row of the output is `width` bytes of its memory. Where scales lie apart, those are of several
// keys.
void pack_kv_rows::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                                      base::Golden* golden) {
  double* out = golden->outputs[0].Row(static_cast<int64_t>(slot));
  const int64_t width = p.format.width();
  const int64_t row_bytes = p.format.row_bytes();
  std::vector<uint8_t> bytes;
  int64_t encoded = -1;
  for (int64_t i = 0; i < width; ++i) {
    const int64_t at = row * width + i;
    const int64_t apart = at - p.count * row_bytes;  // within all scales
    const int64_t key = apart < 0 ? at / row_bytes : apart / p.format.scale_bytes();
    if (key != encoded) bytes = PackedRow(p, in, key);
    encoded = key;
    out[i] = bytes[static_cast<size_t>(apart < 0 ? at % row_bytes
                                                 : row_bytes + apart % p.format.scale_bytes())];
  }
}

void unpack_kv_rows::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row,
                                        size_t slot, base::Golden* golden) {
  const auto* rows = static_cast<const uint8_t*>(in.rows.data);
  const prim::KvRow& format = p.format;
  const int64_t stride = in.rows.strides[0];
  const std::vector<double> values =
      prim::DecodeKvRow(format, p.dtype, rows + format.RowAt(row, stride),
                        rows + format.ScalesAt(row, p.count, stride));
  const auto rope = values.begin() + p.format.latent_dim;
  std::copy(values.begin(), rope, golden->outputs[0].Row(static_cast<int64_t>(slot)));
  std::copy(rope, values.end(), golden->outputs[1].Row(static_cast<int64_t>(slot)));
}

}  // namespace tamis

// The specification, in float64: softmax over the selected positions of scale (query . key +
// query_rope . key_rope), and the weighted sum of their values.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/sparse_flash_attention/problem.h"
#include "prim/formats/kv_row_reference.h"
#include "prim/references/attention_reference.h"

namespace tamis::sparse_flash_attention {
namespace {

// The latent and rotary parts of a key, one after the other, and its value.
prim::ReferenceKey KeyAt(const Problem& p, const Params& in, const prim::TokenSequence& s,
                         int64_t position) {
  prim::ReferenceKey k;
  if (p.byte_rows) {
    const auto* row = static_cast<const uint8_t*>(in.key.data) + p.KeyOffset(in.key, s, position);
    k.key = prim::DecodeKvRow(p.kv_row, in.query.dtype, row);
  } else {
    k.key = prim::ReferenceElements(in.key, p.KeyOffset(in.key, s, position), p.latent_dim);
    if (p.rope_dim > 0) {
      const std::vector<double> rope =
          prim::ReferenceElements(in.key_rope, p.KeyOffset(in.key_rope, s, position), p.rope_dim);
      k.key.insert(k.key.end(), rope.begin(), rope.end());
    }
  }
  if (p.value_in_key) {
    k.value.assign(k.key.begin(), k.key.begin() + p.latent_dim);
  } else {
    k.value = prim::ReferenceElements(in.value, p.KeyOffset(in.value, s, position), p.latent_dim);
  }
  return k;
}

}  // namespace

std::vector<int64_t> Problem::Selected(const Params& in, const prim::TokenSequence& s,
                                       int64_t token) const {
  std::vector<int64_t> positions;
  const TensorView limits = in.key_limits.data == nullptr ? TensorView() : in.key_limits;
  const int64_t visible = End(s, token, causal, limits);
  const auto* ids = static_cast<const int32_t*>(in.sparse_indices.data) +
                    TokenOffset(in.sparse_indices, s, token);
  const int64_t block = std::min(block_size, kMostBlock);
  if (s.padding || visible == s.first) return positions;
  const int64_t slots = std::min(top_k, visible / block + (visible % block != 0 ? 1 : 0));
  for (int64_t t = 0; t < slots; ++t) {
    if (ids[t] < 0) break;
    const int64_t begin = ids[t] * block;
    for (int64_t position = std::max(begin, s.first); position < std::min(begin + block, visible);
         ++position)
      positions.push_back(position);
  }
  return positions;
}

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const auto found =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& s) { return row < s.row_begin + s.rows; });
  const prim::TokenSequence& s = *found;
  const int64_t token = row - s.row_begin;
  std::vector<prim::ReferenceKey> keys;
  for (int64_t position : p.Selected(in, s, token)) keys.push_back(KeyAt(p, in, s, position));
  const auto at = static_cast<int64_t>(slot);
  std::vector<base::GoldenOutput>& outputs = golden->outputs;
  for (int64_t h = 0; h < p.heads; ++h) {
    std::vector<double> query = prim::ReferenceElements(
        in.query, p.TokenOffset(in.query, s, token) + h * p.HeadStride(in.query), p.latent_dim);
    if (p.rope_dim > 0) {
      const std::vector<double> rope = prim::ReferenceElements(
          in.query_rope, p.TokenOffset(in.query_rope, s, token) + h * p.HeadStride(in.query_rope),
          p.rope_dim);
      query.insert(query.end(), rope.begin(), rope.end());
    }
    const double sink =
        in.sinks.absent() ? 0 : base::LoadAsDouble(in.sinks.data, in.sinks.dtype, h);
    const prim::ReferenceHead r = prim::AttendReference(
        query, keys, p.scale, in.sinks.absent() || s.padding ? nullptr : &sink, p.latent_dim,
        in.query.dtype, {p.storage ? kKeyTile : 0, p.integer_scores});
    std::copy(r.out.begin(), r.out.end(), outputs[0].Row(at) + h * p.latent_dim);
    std::copy(r.out_bound.begin(), r.out_bound.end(), outputs[0].BoundRow(at) + h * p.latent_dim);
    std::copy(r.out_device_bound.begin(), r.out_device_bound.end(),
              outputs[0].DeviceBoundRow(at) + h * p.latent_dim);
    outputs[1].Row(at)[h] = r.max;
    outputs[1].BoundRow(at)[h] = r.max_bound;
    outputs[2].Row(at)[h] = r.sum;
    outputs[2].BoundRow(at)[h] = r.sum_bound;
  }
}

}  // namespace tamis::sparse_flash_attention

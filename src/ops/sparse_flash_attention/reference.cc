// The specification, in float64: softmax over the selected positions of scale (query . key +
// query_rope . key_rope), and the weighted sum of their values.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/sparse_flash_attention/problem.h"
#include "prim/attention_reference.h"
#include "prim/kv_row_reference.h"

namespace tamis::sparse_flash_attention {
namespace {

// The latent and rotary parts of a key, one after the other, and its value.
prim::ReferenceKey KeyAt(const Problem& p, const prim::TokenSequence& s, int64_t position) {
  prim::ReferenceKey k;
  if (p.packed) {
    const auto* row = static_cast<const uint8_t*>(p.key.data) + p.KeyOffset(p.key, s, position);
    k.key = prim::DecodeKvRow(p.row, p.query.dtype, row);
  } else {
    k.key = prim::ReferenceElements(p.key, p.KeyOffset(p.key, s, position), p.latent_dim);
    if (p.rope_dim > 0) {
      const std::vector<double> rope =
          prim::ReferenceElements(p.key_rope, p.KeyOffset(p.key_rope, s, position), p.rope_dim);
      k.key.insert(k.key.end(), rope.begin(), rope.end());
    }
  }
  if (p.value.absent()) {
    k.value.assign(k.key.begin(), k.key.begin() + p.latent_dim);
  } else {
    k.value = prim::ReferenceElements(p.value, p.KeyOffset(p.value, s, position), p.latent_dim);
  }
  return k;
}

}  // namespace

std::vector<int64_t> Problem::Selected(const prim::TokenSequence& s, int64_t token) const {
  std::vector<int64_t> positions;
  if (s.padding) return positions;
  const int64_t visible = s.Visible(token, causal);
  const auto* ids = static_cast<const int32_t*>(indices.data) + TokenOffset(indices, s, token);
  const int64_t block = std::min(block_size, kMostBlock);
  const int64_t slots = std::min(top_k, visible / block + (visible % block != 0 ? 1 : 0));
  for (int64_t t = 0; t < slots; ++t) {
    if (ids[t] < 0) break;
    const int64_t begin = ids[t] * block;
    for (int64_t position = begin; position < std::min(begin + block, visible); ++position)
      positions.push_back(position);
  }
  return positions;
}

void Room::ReferenceRow(const Problem& p, int64_t row, size_t slot, base::Golden* golden) {
  const auto found =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& s) { return row < s.row_begin + s.rows; });
  const prim::TokenSequence& s = *found;
  const int64_t token = row - s.row_begin;
  std::vector<prim::ReferenceKey> keys;
  for (int64_t position : p.Selected(s, token)) keys.push_back(KeyAt(p, s, position));
  const int head_dim = p.padded_queries ? 2 : 1;
  const auto at = static_cast<int64_t>(slot);
  std::vector<base::GoldenOutput>& outputs = golden->outputs;
  for (int64_t h = 0; h < p.heads; ++h) {
    std::vector<double> query = prim::ReferenceElements(
        p.query, p.TokenOffset(p.query, s, token) + h * p.query.strides[head_dim], p.latent_dim);
    if (p.rope_dim > 0) {
      const std::vector<double> rope = prim::ReferenceElements(
          p.query_rope, p.TokenOffset(p.query_rope, s, token) + h * p.query_rope.strides[head_dim],
          p.rope_dim);
      query.insert(query.end(), rope.begin(), rope.end());
    }
    const double sink = p.sinks.absent() ? 0 : base::LoadAsDouble(p.sinks.data, p.sinks.dtype, h);
    const prim::ReferenceHead r = prim::AttendReference(
        query, keys, p.scale, p.sinks.absent() || s.padding ? nullptr : &sink, p.latent_dim,
        p.query.dtype, {p.storage ? kKeyTile : 0, p.ScoresMayBeIntegers()});
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

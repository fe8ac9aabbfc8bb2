// The specification, in float64: softmax over the selected positions, and the weighted sum of their
// values.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/nsa_selected_attention/problem.h"
#include "prim/references/attention_reference.h"

namespace tamis::selected_attention {

std::vector<int64_t> Selected(const Sizes& p, const TensorView& topk_indices,
                              const prim::TokenSequence& s, int64_t token, int64_t kv_head) {
  std::vector<int64_t> positions;
  if (s.padding) return positions;
  const int64_t end = p.End(s, token, p.causal, TensorView());
  const auto* ids = static_cast<const int32_t*>(topk_indices.data) +
                    p.TokenOffset(topk_indices, s, token) + kv_head * p.HeadStride(topk_indices);
  for (int64_t i = 0; i < p.top_k && ids[i] >= 0; ++i) {
    const int64_t begin = ids[i] * p.block_size;
    for (int64_t position = begin; position < std::min(begin + p.block_size, end); ++position)
      positions.push_back(position);
  }
  return positions;
}

void Steps::ReferenceRowOf(const Problem& p, const Tensors& in, int64_t row, size_t slot,
                           base::Golden* golden) {
  const auto found =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& s) { return row < s.row_begin + s.rows; });
  const prim::TokenSequence& s = *found;
  const int64_t token = row - s.row_begin;
  const auto at = static_cast<int64_t>(slot);
  const int64_t key_head = in.key.strides[in.key.rank - 2];
  const int64_t value_head = in.value.strides[in.value.rank - 2];
  for (int64_t g = 0; g < p.kv_heads; ++g) {
    std::vector<prim::ReferenceKey> keys;
    for (int64_t position : Selected(p, in.topk_indices, s, token, g)) {
      const auto tile = static_cast<int64_t>(keys.size()) / kKeyTile;
      const int64_t key = p.KeyOffset(in.key, s, position) + g * key_head;
      const int64_t value = p.KeyOffset(in.value, s, position) + g * value_head;
      keys.push_back({.key = prim::ReferenceElements(in.key, key, p.qk_dim),
                      .value = prim::ReferenceElements(in.value, value, p.v_dim),
                      .tile = tile});
    }
    for (int64_t h = g * p.group; h < (g + 1) * p.group; ++h) {
      const std::vector<double> query = prim::ReferenceElements(
          in.query, p.TokenOffset(in.query, s, token) + h * p.HeadStride(in.query), p.qk_dim);
      const prim::ReferenceHead r = prim::AttendReference(query, keys, p.scale, nullptr, p.v_dim,
                                                          in.query.dtype, {p.storage, false});
      prim::PutHead(r, at, h, golden);
    }
  }
}

}  // namespace tamis::selected_attention

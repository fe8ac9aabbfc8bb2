// The specification, in float64: softmax over a token's window of scale (query . key), and the
// weighted sum of the values.
#include <algorithm>
#include <vector>

#include "ops/sliding_window_attention/problem.h"
#include "prim/references/attention_reference.h"

namespace tamis::sliding_window_attention {

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const auto found =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& s) { return row < s.row_begin + s.rows; });
  const prim::TokenSequence& s = *found;
  const int64_t token = row - s.row_begin;
  const prim::Span window = WindowOf(p, s, token, in.key_limits);
  const int key_head_dim = p.key_layout == prim::TokenLayout::kTnd ? 1 : 2;
  const auto at = static_cast<int64_t>(slot);
  for (int64_t kv_head = 0; kv_head < p.kv_heads; ++kv_head) {
    std::vector<prim::ReferenceKey> keys;
    const auto row_at = [&](const TensorView& view, int64_t position, int64_t dim) {
      return prim::ReferenceElements(
          view, p.KeyOffset(view, s, position) + kv_head * view.strides[key_head_dim], dim);
    };
    for (int64_t i = 0; i < window.length; ++i) {
      const int64_t position = window.begin + i;
      keys.push_back({row_at(in.key, position, p.qk_dim), row_at(in.value, position, p.v_dim)});
    }
    for (int64_t head = kv_head * p.group; head < (kv_head + 1) * p.group; ++head) {
      const std::vector<double> query = prim::ReferenceElements(
          in.query, p.TokenOffset(in.query, s, token) + head * p.HeadStride(in.query), p.qk_dim);
      const prim::ReferenceHead r =
          prim::AttendReference(query, keys, p.scale, nullptr, p.v_dim, in.query.dtype);
      prim::PutHead(r, at, head, golden);
    }
  }
}

}  // namespace tamis::sliding_window_attention

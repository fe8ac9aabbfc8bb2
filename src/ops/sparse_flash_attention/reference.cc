// The specification, in float64: softmax over the selected positions of scale (query . key +
// query_rope . key_rope), and the weighted sum of their values.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/sparse_flash_attention/problem.h"
#include "prim/formats/kv_row_reference.h"
#include "prim/references/attention_reference.h"
#include "prim/references/listed.h"

namespace tamis::sparse_flash_attention {
namespace {

// Where keys lie, and their tensors: of the list, or of the window.
struct Keys {
  const prim::TokenProblem& at;
  const TensorView& key;
  const TensorView& rope;
  const TensorView& value;
};

// The latent and rotary parts of a key, one after the other, and its value.
prim::ReferenceKey KeyAt(const Problem& p, DType dtype, const Keys& keys,
                         const prim::TokenSequence& s, int64_t position) {
  const auto elements = [&](const TensorView& view, int64_t count) {
    return prim::ReferenceElements(view, keys.at.KeyOffset(view, s, position), count);
  };
  prim::ReferenceKey k;
  if (p.byte_rows) {
    const prim::KeyPlace place = keys.at.PlaceOf(keys.key, s, position);
    const auto* page = static_cast<const uint8_t*>(keys.key.data) + place.page;
    k.key = prim::DecodeKvRow(p.kv_row, dtype, page + p.kv_row.RowAt(place.slot, place.stride),
                              page + p.kv_row.ScalesAt(place.slot, place.rows, place.stride));
  } else {
    k.key = elements(keys.key, p.latent_dim);
    if (p.rope_dim > 0) {
      const std::vector<double> rope = elements(keys.rope, p.rope_dim);
      k.key.insert(k.key.end(), rope.begin(), rope.end());
    }
  }
  if (p.value_in_key) {
    k.value.assign(k.key.begin(), k.key.begin() + p.latent_dim);
  } else {
    k.value = elements(keys.value, p.latent_dim);
  }
  return k;
}

// All keys of a row in their order, with the tiles that kernels cut them into.
std::vector<prim::ReferenceKey> KeysOf(const Problem& p, const Params& in, size_t sequence,
                                       int64_t token) {
  std::vector<prim::ReferenceKey> all;
  const Keys listed = {p, in.key, in.key_rope, in.value};
  const prim::TokenSequence& s = p.sequences[sequence];
  for (int64_t position : p.Selected(in, s, token)) {
    const auto tile = static_cast<int64_t>(all.size()) / kKeyTile;
    all.push_back(KeyAt(p, in.query.dtype, listed, s, position));
    all.back().tile = tile;
  }
  const Keys window = {p.window, in.window_key, in.window_key_rope, in.window_value};
  const prim::attention::Range seen = p.Window(sequence, token);
  for (int64_t position = seen.begin; position < seen.end; ++position) {
    all.push_back(KeyAt(p, in.query.dtype, window, p.window.sequences[sequence], position));
    all.back().tile = -1 - position / kKeyTile;  // unlike those of the list
  }
  return all;
}

}  // namespace

std::vector<int64_t> Problem::Selected(const Params& in, const prim::TokenSequence& s,
                                       int64_t token) const {
  const TensorView limits = in.key_limits.data == nullptr ? TensorView() : in.key_limits;
  return prim::ListedPositions(*this, in.sparse_indices, s, token, End(s, token, causal, limits),
                               std::min(block_size, kMostBlock));
}

prim::attention::Range Problem::Window(size_t i, int64_t token) const {
  if (!with_window) return {0, 0};
  const prim::TokenSequence& s = window.sequences[i];
  const int64_t end = window.End(s, token, true, TensorView());
  return {end - std::min(end - s.first, window_size), end};
}

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const auto found =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& s) { return row < s.row_begin + s.rows; });
  const prim::TokenSequence& s = *found;
  const int64_t token = row - s.row_begin;
  const std::vector<prim::ReferenceKey> keys =
      KeysOf(p, in, static_cast<size_t>(found - p.sequences.begin()), token);
  const auto at = static_cast<int64_t>(slot);
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
        in.query.dtype, {p.storage, p.integer_scores});
    prim::PutHead(r, at, h, golden);
  }
}

}  // namespace tamis::sparse_flash_attention

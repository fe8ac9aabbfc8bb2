// The specification, in float64: softmax over the selected positions of scale (query . key +
// query_rope . key_rope), and the weighted sum of their values.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "ops/sparse_flash_attention/problem.h"
#include "prim/kv_row_reference.h"

namespace tamis::sparse_flash_attention {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

std::vector<double> Elements(const TensorView& view, int64_t offset, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  for (int64_t c = 0; c < count; ++c)
    values[static_cast<size_t>(c)] = base::LoadAsDouble(view.data, view.dtype, offset + c);
  return values;
}

// The latent and rotary parts of a key, one after the other, and its value.
struct Key {
  std::vector<double> key;
  std::vector<double> value;
};

Key KeyAt(const Problem& p, const prim::TokenSequence& s, int64_t position) {
  Key k;
  if (p.packed) {
    const auto* row = static_cast<const uint8_t*>(p.key.data) + p.KeyOffset(p.key, s, position);
    k.key = prim::DecodeKvRow(p.row, p.query.dtype, row);
  } else {
    k.key = Elements(p.key, p.KeyOffset(p.key, s, position), p.latent_dim);
    if (p.rope_dim > 0) {
      const std::vector<double> rope =
          Elements(p.key_rope, p.KeyOffset(p.key_rope, s, position), p.rope_dim);
      k.key.insert(k.key.end(), rope.begin(), rope.end());
    }
  }
  if (p.value.absent()) {
    k.value.assign(k.key.begin(), k.key.begin() + p.latent_dim);
  } else {
    k.value = Elements(p.value, p.KeyOffset(p.value, s, position), p.latent_dim);
  }
  return k;
}

struct HeadResult {
  std::vector<double> out, out_bound;
  double max = kMinusInfinity;
  double max_bound = 0;
  double sum = 0;
  double sum_bound = 0;
};

HeadResult Attend(const Problem& p, const std::vector<double>& query, const std::vector<Key>& keys,
                  const double* sink) {
  HeadResult r;
  r.out.assign(static_cast<size_t>(p.latent_dim), 0.0);
  r.out_bound = r.out;
  const auto scale = static_cast<double>(static_cast<float>(p.scale));
  std::vector<double> score(keys.size());
  double magnitude = 0;
  for (size_t j = 0; j < keys.size(); ++j) {
    double dot = 0;
    double absolute = 0;
    for (size_t c = 0; c < query.size(); ++c) {
      dot += query[c] * keys[j].key[c];
      absolute += std::fabs(query[c] * keys[j].key[c]);
    }
    score[j] = scale * dot;
    magnitude = std::max(magnitude, std::fabs(scale) * absolute);
    r.max = std::max(r.max, score[j]);
  }
  if (sink != nullptr) r.max = std::max(r.max, *sink);
  for (double& s : score) {
    s = std::exp(s - r.max);
    r.sum += s;
  }
  if (sink != nullptr) r.sum += keys.empty() ? 1 : std::exp(*sink - r.max);
  if (std::isnan(r.sum)) r.max = r.sum;  // NaN or an infinity among the scores

  // A score carries the error of a dot product and of the scaling. e = exp(score - max) carries two
  // of those and the exponential's 2 ulp, the sum as much again; tiles and segments are rescaled,
  // which costs a few roundings each.
  const auto terms = static_cast<double>(keys.size() + 1);
  r.max_bound =
      base::Fp32SumBound(static_cast<double>(query.size()), magnitude) + 0x1p-23 * magnitude;
  const double relative = 4 * r.max_bound + 16 * 0x1p-24 + 2 * base::Fp32SumBound(terms, 1);
  r.sum_bound = r.sum * relative;
  for (size_t c = 0; c < r.out.size() && !keys.empty(); ++c) {
    double absolute = 0;
    for (size_t j = 0; j < keys.size(); ++j) {
      const double term = score[j] / r.sum * keys[j].value[c];
      r.out[c] += term;
      absolute += std::fabs(term);
    }
    r.out_bound[c] = absolute * relative + base::Fp32SumBound(terms, absolute);
  }
  return r;
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
  std::vector<Key> keys;
  for (int64_t position : p.Selected(s, token)) keys.push_back(KeyAt(p, s, position));
  const int head_dim = p.padded_queries ? 2 : 1;
  const auto at = static_cast<int64_t>(slot);
  std::vector<base::GoldenOutput>& outputs = golden->outputs;
  for (int64_t h = 0; h < p.heads; ++h) {
    std::vector<double> query = Elements(
        p.query, p.TokenOffset(p.query, s, token) + h * p.query.strides[head_dim], p.latent_dim);
    if (p.rope_dim > 0) {
      const std::vector<double> rope = Elements(
          p.query_rope, p.TokenOffset(p.query_rope, s, token) + h * p.query_rope.strides[head_dim],
          p.rope_dim);
      query.insert(query.end(), rope.begin(), rope.end());
    }
    const double sink = p.sinks.absent() ? 0 : base::LoadAsDouble(p.sinks.data, p.sinks.dtype, h);
    const HeadResult r = Attend(p, query, keys, p.sinks.absent() || s.padding ? nullptr : &sink);
    std::copy(r.out.begin(), r.out.end(), outputs[0].Row(at) + h * p.latent_dim);
    std::copy(r.out_bound.begin(), r.out_bound.end(), outputs[0].BoundRow(at) + h * p.latent_dim);
    outputs[1].Row(at)[h] = r.max;
    outputs[1].BoundRow(at)[h] = r.max_bound;
    outputs[2].Row(at)[h] = r.sum;
    outputs[2].BoundRow(at)[h] = r.sum_bound;
  }
}

}  // namespace tamis::sparse_flash_attention

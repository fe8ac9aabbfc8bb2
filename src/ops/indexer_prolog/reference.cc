// The specification: the formula of indexer_prolog.hpp, step by step in float64, rounded to the
// dtype where it says so.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/indexer_prolog/problem.h"
#include "prim/call/cache_slots.h"
#include "prim/formats/key_shadow_reference.h"
#include "prim/formats/weight.h"
#include "prim/references/estimate.h"

namespace tamis::indexer_prolog {

using prim::EstimateRow;
using prim::Part;
using prim::Put;

namespace {

// A head's channels, of which rope rotates the first or the last, into an output's slot.
void PutHead(const Problem& p, const Params& in, int64_t token, const EstimateRow& head, int64_t at,
             size_t slot, base::GoldenOutput* output) {
  const EstimateRow sin = prim::ExactTokenRow(in.sin, p.batched, token);
  const EstimateRow cos = prim::ExactTokenRow(in.cos, p.batched, token);
  const int64_t rotated = p.rope_last ? p.dim - p.rope : 0;
  const int64_t plain = p.rope_last ? 0 : p.rope;
  Put(prim::RopeEstimate(Part(head, rotated, p.rope), sin, cos, p.interleaved), at + rotated, slot,
      output);
  Put(Part(head, plain, p.dim - p.rope), at + plain, slot, output);
}

void PutKey(const Problem& p, const Params& in, int64_t token, size_t slot,
            base::GoldenOutput* output) {
  const EstimateRow x = prim::ExactTokenRow(in.x, p.batched, token);
  const EstimateRow unrounded =
      prim::LinearEstimate(x, prim::WeightOf(in.w_idx_k, p.format), p.dtype, 0, p.dim);
  EstimateRow key = prim::LayerNormEstimate(unrounded, prim::ExactRow(in.in_gamma_k),
                                            prim::ExactRow(in.in_beta_k), p.epsilon);
  prim::RoundTo(p.dtype, &key);
  PutHead(p, in, token, key, 0, slot, output);
}

// The row that a token writes: as it stands in the cache, or of this reference.
std::vector<float> CacheRow(const Problem& p, const Params& in, int64_t token, bool as_it_stands) {
  const TensorView& cache = in.index_k_cache;
  const int64_t at = OffsetOf(prim::PagesOf(cache), p.slots[static_cast<size_t>(token)]);
  base::GoldenOutput row;
  row.row_elems = p.dim;
  row.value.resize(static_cast<size_t>(p.dim));
  row.bound.resize(static_cast<size_t>(p.dim));
  if (!as_it_stands) PutKey(p, in, token, 0, &row);
  std::vector<float> key(static_cast<size_t>(p.dim));
  for (int64_t c = 0; c < p.dim; ++c) {
    float stored = 0;  // room for any dtype
    base::StoreDouble(&stored, p.dtype, 0, row.value[static_cast<size_t>(c)]);
    key[static_cast<size_t>(c)] =
        static_cast<float>(as_it_stands ? base::LoadAsDouble(cache.data, p.dtype, at + c)
                                        : base::LoadAsDouble(&stored, p.dtype, 0));
  }
  return key;
}

// The panel that holds a token's key, with the keys of all tokens of the call that are in it.
void PutPanel(const Problem& p, const Params& in, int64_t token, size_t slot, bool as_it_stands,
              base::GoldenOutput* output) {
  const TensorView& shadow = in.index_k_shadow;
  const int64_t page_size = in.index_k_cache.shape[1];
  const auto panel_of = [&](int64_t key) {
    return key / page_size * shadow.shape[1] + key % page_size / prim::kShadowKeys;
  };
  const int64_t panel = panel_of(p.slots[static_cast<size_t>(token)]);
  const auto* from = static_cast<const uint8_t*>(shadow.data) +
                     panel / shadow.shape[1] * shadow.strides[0] +
                     panel % shadow.shape[1] * shadow.strides[1];
  std::vector<uint8_t> bytes(from, from + shadow.shape[2]);
  for (int64_t t = 0; t < p.tokens; ++t) {
    const int64_t key = p.slots[static_cast<size_t>(t)];
    if (key < 0 || panel_of(key) != panel) continue;
    prim::StoreShadow(prim::EncodeShadow(CacheRow(p, in, t, as_it_stands)), p.dim,
                      key % page_size % prim::kShadowKeys, bytes.data());
  }
  output->rows[slot] = panel;
  std::copy(bytes.begin(), bytes.end(), output->Row(static_cast<int64_t>(slot)));
}

}  // namespace

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t token, size_t slot,
                        base::Golden* golden) {
  enum { kCache, kShadow, kQuery, kWeights };  // the contract's outputs, in order
  std::vector<base::GoldenOutput>& out = golden->outputs;
  const EstimateRow x = prim::ExactTokenRow(in.x, p.batched, token);

  const int64_t cache_row = p.slots[static_cast<size_t>(token)];
  out[kCache].rows[slot] = cache_row;
  if (cache_row >= 0) {
    PutKey(p, in, token, slot, &out[kCache]);
    if (!in.index_k_shadow.absent())
      PutPanel(p, in, token, slot, golden->follow_selection, &out[kShadow]);
  }
  if (!in.weights.absent())
    Put(prim::LinearEstimate(x, prim::WeightOf(in.w_idx_proj, p.format), p.dtype, 0, p.heads), 0,
        slot, &out[kWeights]);
  if (in.query.absent()) return;
  const EstimateRow norm = prim::ExactTokenRow(in.query_norm, p.batched, token);
  const prim::LinearWeight qb = prim::WeightOf(in.w_idx_qb, p.format);
  for (int64_t g = 0; g < p.heads; ++g) {
    EstimateRow head = prim::LinearEstimate(norm, qb, p.dtype, g * p.dim, p.dim);
    prim::RoundTo(p.dtype, &head);
    PutHead(p, in, token, head, g * p.dim, slot, &out[kQuery]);
  }
}

}  // namespace tamis::indexer_prolog

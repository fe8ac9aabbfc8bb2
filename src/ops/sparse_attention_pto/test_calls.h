// Calls of sparse_attention_pto for its tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::sparse_attention_pto {

/// All tensors of the call, in the document's order.
inline constexpr const char* kTensors[] = {
    "x",        "w_dq",    "w_uq_qr",     "w_uk",       "w_dkv_kr",  "gamma_cq",     "gamma_ckv",
    "sin",      "cos",     "cache_index", "kv_cache",   "kr_cache",  "block_table",  "act_seqs",
    "w_idx_qb", "w_idx_k", "w_idx_proj",  "in_gamma_k", "in_beta_k", "index_k_cache"};

struct Shape {
  DType dtype = DType::kBFloat16;
  int64_t tokens = 2;                      // new ones per sequence
  std::vector<int64_t> lengths = {9, 21};  // positions per sequence, new ones included
  int64_t hidden = 40;
  int64_t norm = 24;
  int64_t heads = 3;
  int64_t nope = 8;
  int64_t latent = 16;
  int64_t rope = 6;
  int64_t index_heads = 5;
  int64_t index_dim = 12;
  int64_t page = 4;
  int64_t count = 6;

  int64_t batch() const { return static_cast<int64_t>(lengths.size()); }
};

// The new tokens' slots are where the page table puts their positions, and -1 before position 0.
inline std::vector<int64_t> SlotsOf(const Shape& s, const test::Pages& pages) {
  std::vector<int64_t> slots;
  for (int64_t b = 0; b < s.batch(); ++b) {
    for (int64_t t = 0; t < s.tokens; ++t) {
      const int64_t position = s.lengths[static_cast<size_t>(b)] - s.tokens + t;
      slots.push_back(position < 0 ? -1 : pages.RowOf(b, position));
    }
  }
  return slots;
}

// The caches hold older positions, and NaN where the new ones will be, past a sequence's end and on
// spare pages.
inline test::TestCall Fused(const Shape& s, uint64_t seed) {
  test::Random random(seed);
  const test::Pages pages(s.lengths, s.page, 2, &random);
  std::vector<int64_t> older = s.lengths;
  for (int64_t& length : older) length -= s.tokens;
  const std::vector<bool> holds = pages.Holds(older);
  const auto normal = [&random](double scale) {
    return [&random, scale](int64_t) { return scale * random.Normal(); };
  };
  const auto cache = [&](int64_t width) {
    return [&random, &holds, width](int64_t i) {
      return holds[static_cast<size_t>(i / width)] ? random.Normal() : NAN;
    };
  };
  const auto scale = [](int64_t terms) { return 1 / std::sqrt(static_cast<double>(terms)); };
  const int64_t b = s.batch();
  const int64_t t = s.tokens;
  test::TestCall call("sparse_attention_pto");
  call.Tensor("x", s.dtype, {b, t, s.hidden}, normal(1))
      .Tensor("w_dq", s.dtype, {s.hidden, s.norm}, normal(scale(s.hidden)))
      .Tensor("w_uq_qr", s.dtype, {s.norm, s.heads * (s.nope + s.rope)}, normal(scale(s.norm)))
      .Tensor("w_uk", s.dtype, {s.heads, s.nope, s.latent}, normal(scale(s.nope)))
      .Tensor("w_dkv_kr", s.dtype, {s.hidden, s.latent + s.rope}, normal(scale(s.hidden)))
      .Tensor("gamma_cq", s.dtype, {s.norm}, normal(1))
      .Tensor("gamma_ckv", s.dtype, {s.latent}, normal(1))
      .Tensor("sin", s.dtype, {b, t, s.rope}, normal(1))
      .Tensor("cos", s.dtype, {b, t, s.rope}, normal(1))
      .Tensor("cache_index", DType::kInt32, {b, t}, test::Elements(SlotsOf(s, pages)))
      .Tensor("kv_cache", s.dtype, {pages.count, s.page, 1, s.latent}, cache(s.latent))
      .Tensor("kr_cache", s.dtype, {pages.count, s.page, 1, s.rope}, cache(s.rope))
      .Tensor("block_table", DType::kInt32, {b, pages.width}, test::Elements(pages.table))
      .List("act_seqs", DType::kInt32, s.lengths)
      .Tensor("w_idx_qb", s.dtype, {s.norm, s.index_heads * s.index_dim}, normal(scale(s.norm)))
      .Tensor("w_idx_k", s.dtype, {s.hidden, s.index_dim}, normal(scale(s.hidden)))
      .Tensor("w_idx_proj", s.dtype, {s.hidden, s.index_heads}, normal(scale(s.hidden)))
      .Tensor("in_gamma_k", s.dtype, {s.index_dim}, normal(1))
      .Tensor("in_beta_k", s.dtype, {s.index_dim}, normal(1))
      .Tensor("index_k_cache", s.dtype, {pages.count, s.page, 1, s.index_dim}, cache(s.index_dim))
      .Set("sparse_count", s.count);
  return call;
}

}  // namespace tamis::sparse_attention_pto

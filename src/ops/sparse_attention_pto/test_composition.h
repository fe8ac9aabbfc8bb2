// The fused call beside the four that it is made of.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/sparse_attention_pto/problem.h"

namespace tamis::sparse_attention_pto::test_composition {

struct Tensor {
  Tensor(DType dtype, std::vector<int64_t> shape) : view(nullptr, dtype, shape) {
    int64_t bytes = base::ItemSize(dtype);
    for (int64_t size : shape) bytes *= size;
    memory.resize(static_cast<size_t>(bytes));
    view.data = memory.data();
  }
  std::vector<unsigned char> memory;
  TensorView view;
};

inline int64_t DenseBytes(const TensorView& view) {
  int64_t bytes = base::ItemSize(view.dtype);
  for (int i = 0; i < view.rank; ++i) bytes *= view.shape[i];
  return bytes;
}

// The four operators one after the other, on copies of the caches.
struct Composed {
  Composed(const Params& p, const Context& context)
      : kv(Copy(p.kv_cache)),
        kr(Copy(p.kr_cache)),
        index_k(Copy(p.index_k_cache)),
        out(p.x.dtype, {p.x.shape[0], p.x.shape[1], p.w_uk.shape[0], p.w_uk.shape[2]}),
        indices(DType::kInt32, {p.x.shape[0], p.x.shape[1], 1, p.sparse_count}) {
    const int64_t b = p.x.shape[0];
    const int64_t t = p.x.shape[1];
    const int64_t index_dim = p.w_idx_k.shape[1];
    const int64_t index_heads = p.w_idx_proj.shape[1];
    Tensor query(p.x.dtype, {b, t, p.w_uk.shape[0], p.w_uk.shape[2]});
    Tensor query_rope(p.x.dtype, {b, t, p.w_uk.shape[0], p.sin.shape[2]});
    Tensor query_norm(p.x.dtype, {b, t, p.w_dq.shape[1]});
    Tensor index_query(p.x.dtype, {b, t, index_heads, index_dim});
    Tensor weights(p.x.dtype, {b, t, index_heads});
    mla_prolog::Params mla = {.x = p.x,
                              .w_dq = p.w_dq,
                              .w_uq_qr = p.w_uq_qr,
                              .w_uk = p.w_uk,
                              .w_dkv_kr = p.w_dkv_kr,
                              .gamma_cq = p.gamma_cq,
                              .gamma_ckv = p.gamma_ckv,
                              .sin = p.sin,
                              .cos = p.cos,
                              .cache_index = p.cache_index,
                              .kv_cache = kv.view,
                              .kr_cache = kr.view,
                              .epsilon_cq = p.epsilon_cq,
                              .epsilon_ckv = p.epsilon_ckv,
                              .weight_format = p.weight_format};
    mla.query = query.view;
    mla.query_rope = query_rope.view;
    mla.query_norm = query_norm.view;
    Expect(mla_prolog::run(mla, context));
    indexer_prolog::Params indexer = {.x = p.x,
                                      .query_norm = query_norm.view,
                                      .w_idx_qb = p.w_idx_qb,
                                      .w_idx_k = p.w_idx_k,
                                      .w_idx_proj = p.w_idx_proj,
                                      .in_gamma_k = p.in_gamma_k,
                                      .in_beta_k = p.in_beta_k,
                                      .sin = p.sin,
                                      .cos = p.cos,
                                      .cache_index = p.cache_index,
                                      .index_k_cache = index_k.view,
                                      .epsilon = p.epsilon_k,
                                      .rope_interleaved = p.rope_interleaved,
                                      .weight_format = p.weight_format};
    indexer.query = index_query.view;
    indexer.weights = weights.view;
    Expect(indexer_prolog::run(indexer, context));
    lightning_indexer::Params select;
    select.query = index_query.view;
    select.key = index_k.view;
    select.weights = weights.view;
    select.actual_seq_lengths_key = p.act_seqs;
    select.block_table = p.block_table;
    select.layout_key = lightning_indexer::KeyLayout::kPaBsnd;
    select.sparse_count = p.sparse_count;
    select.sparse_indices = indices.view;
    Expect(lightning_indexer::run(select, context));
    sparse_flash_attention::Params attend;
    attend.query = query.view;
    attend.key = kv.view;
    attend.sparse_indices = indices.view;
    attend.block_table = p.block_table;
    attend.actual_seq_lengths_kv = p.act_seqs;
    attend.query_rope = query_rope.view;
    attend.key_rope = kr.view;
    attend.scale_value = p.scale_value;
    attend.layout_kv = sparse_flash_attention::KvLayout::kPaBsnd;
    attend.out = out.view;
    Expect(sparse_flash_attention::run(attend, context));
  }

  static Tensor Copy(const TensorView& view) {
    Tensor copy(view.dtype, {view.shape, view.shape + view.rank});
    std::copy_n(static_cast<const unsigned char*>(view.data), copy.memory.size(),
                copy.memory.data());
    return copy;
  }
  static void Expect(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }

  Tensor kv, kr, index_k, out, indices;
};

inline bool SameBytes(const Tensor& a, const TensorView& b) {
  return static_cast<int64_t>(a.memory.size()) == DenseBytes(b) &&
         std::equal(a.memory.begin(), a.memory.end(), static_cast<const unsigned char*>(b.data));
}

// Runs the call after its composition, which works on copies of the caches.
inline void ExpectEqualsComposition(const Params& params, const Context& context) {
  const Composed composed(params, context);
  const Status status = run(params, context);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(SameBytes(composed.kv, params.kv_cache));
  EXPECT_TRUE(SameBytes(composed.kr, params.kr_cache));
  EXPECT_TRUE(SameBytes(composed.index_k, params.index_k_cache));
  EXPECT_TRUE(SameBytes(composed.indices, params.sparse_indices));
  EXPECT_TRUE(SameBytes(composed.out, params.out));
}

}  // namespace tamis::sparse_attention_pto::test_composition

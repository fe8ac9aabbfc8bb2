// The fused operator's four parts, and how to tell that two tensors are the same.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/sparse_attention_pto/problem.h"
#include "registry/compare.h"
#include "registry/registry.h"

namespace tamis::test {

/// Of a dense tensor of this shape.
inline int64_t DenseBytes(const TensorView& view) {
  int64_t bytes = base::ItemSize(view.dtype);
  for (int i = 0; i < view.rank; ++i) bytes *= view.shape[i];
  return bytes;
}

/// Element `index` of the view in row-major order.
inline char* ElementOf(const TensorView& view, int64_t index) {
  int64_t offset = 0;
  for (int i = view.rank - 1; i >= 0; index /= view.shape[i], --i)
    offset += index % view.shape[i] * view.strides[i];
  return static_cast<char*>(view.data) + offset * base::ItemSize(view.dtype);
}

inline int64_t RowElems(const TensorView& view) {
  return view.rank > 0 ? view.shape[view.rank - 1] : 1;
}

/// Visits the rows of the last dimension of two views of one shape as bytes.
template <class Visit>
void ForRows(const TensorView& a, const TensorView& b, Visit&& visit) {
  const int64_t bytes = DenseBytes(a);
  if (bytes == 0) return;
  const int64_t item = base::ItemSize(a.dtype);
  for (int64_t i = 0; i < bytes / item; i += RowElems(a))
    visit(ElementOf(a, i), ElementOf(b, i), static_cast<size_t>(RowElems(a) * item));
}

inline bool SameElements(const TensorView& a, const TensorView& b) {
  bool same = std::equal(a.shape, a.shape + a.rank, b.shape, b.shape + b.rank);
  if (same) {
    ForRows(a, b, [&](const char* x, const char* y, size_t bytes) {
      same = same && std::memcmp(x, y, bytes) == 0;
    });
  }
  return same;
}

/// A dense tensor with memory of its own.
struct Held {
  Held(DType dtype, const std::vector<int64_t>& shape) : view(nullptr, dtype, shape) {
    memory.resize(static_cast<size_t>(DenseBytes(view)) + 1);
    view.data = memory.data();
  }
  /// A copy, without gaps.
  explicit Held(const TensorView& other)
      : Held(other.dtype, {other.shape, other.shape + other.rank}) {
    ForRows(view, other,
            [](char* to, const char* from, size_t bytes) { std::memcpy(to, from, bytes); });
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  std::vector<unsigned char> memory;
  OutputView view;
};

/// Of a call that has run: ok, or the first element that is not the reference's within its bound.
inline Status AgainstTheReference(const base::Operator& op, const void* params) {
  const Result<int64_t> rows = registry::CountRows(op, params);
  if (!rows.ok()) return rows.status();
  const auto compared =
      registry::CompareWithReference(op, params, registry::SpreadRows(*rows, 64), 1);
  if (!compared.ok()) return compared.status();
  for (const registry::OutputComparison& c : *compared) {
    if (!c.ok()) {
      return {StatusCode::kInternal, op.contract->name + ": " + c.output +
                                         " differs from the reference: " + c.first_mismatch};
    }
  }
  return Status::Ok();
}

/// The four operators one after the other, on copies of the caches; stops where one fails.
struct Composed {
  enum class Judged { kNot, kByTheReference };

  Composed(const sparse_attention_pto::Params& p, const Context& context,
           Judged with = Judged::kNot)
      : judged(with),
        kv(p.kv_cache),
        kr(p.kr_cache),
        index_k(p.index_k_cache),
        out(p.x.dtype, {p.x.shape[0], p.x.shape[1], p.w_uk.shape[0], p.w_uk.shape[2]}),
        indices(DType::kInt32, {p.x.shape[0], p.x.shape[1], 1, p.sparse_count}) {
    const int64_t b = p.x.shape[0];
    const int64_t t = p.x.shape[1];
    const int64_t index_dim = p.w_idx_k.shape[1];
    const int64_t index_heads = p.w_idx_proj.shape[1];
    Held query(p.x.dtype, {b, t, p.w_uk.shape[0], p.w_uk.shape[2]});
    Held query_rope(p.x.dtype, {b, t, p.w_uk.shape[0], p.sin.shape[2]});
    Held query_norm(p.x.dtype, {b, t, p.w_dq.shape[1]});
    Held index_query(p.x.dtype, {b, t, index_heads, index_dim});
    Held weights(p.x.dtype, {b, t, index_heads});
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
    Run("mla_prolog", mla_prolog::run, mla, context);
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
    Run("indexer_prolog", indexer_prolog::run, indexer, context);
    lightning_indexer::Params select;
    select.query = index_query.view;
    select.key = index_k.view;
    select.weights = weights.view;
    select.actual_seq_lengths_key = p.act_seqs;
    select.block_table = p.block_table;
    select.layout_key = lightning_indexer::KeyLayout::kPaBsnd;
    select.sparse_count = p.sparse_count;
    select.sparse_indices = indices.view;
    Run("lightning_indexer", lightning_indexer::run, select, context);
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
    attend.accuracy = p.accuracy;
    attend.out = out.view;
    Run("sparse_flash_attention", sparse_flash_attention::run, attend, context);
  }

  Judged judged;
  Status status;
  Held kv, kr, index_k, out, indices;

 private:
  template <class Params>
  void Run(const char* op, Status (*run)(const Params&, const Context&), const Params& params,
           const Context& context) {
    if (status.ok()) status = run(params, context);
    if (status.ok() && judged == Judged::kByTheReference)
      status = AgainstTheReference(*registry::Find(op), &params);
  }
};

}  // namespace tamis::test

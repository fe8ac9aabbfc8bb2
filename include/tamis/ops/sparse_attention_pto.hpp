// sparse_attention_pto: the front half of a DeepSeek-V3.2 attention layer in one call: MLA prolog,
// indexer prolog, lightning indexer and sparse attention (document "npu_sparse_attention_pto").
#pragma once

#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/weight_format.hpp"
#include "tamis/plan.hpp"

namespace tamis::sparse_attention_pto {

/// What mla_prolog, indexer_prolog, lightning_indexer and sparse_flash_attention give one after the
/// other, bit for bit, for S1 new tokens of each of B sequences:
///   1. The prologs write the tokens' rows of kv_cache, kr_cache and index_k_cache at cache_index
///      (page * page_size + offset; a negative slot is not written, of equal slots the last in
///      (batch, token) order wins). All rows of the call are written before any is read.
///   2. Token s of sequence b sees the first act_seqs[b] - (S1 - 1 - s) positions of the sequence,
///      through block_table; the indexer selects sparse_count of them.
///   3. out is the attention over those, scale_value times the logits, before w_uv.
/// The caller sees to it that cache_index and block_table name the same places: position p of
/// sequence b lies in row block_table[b, p / page_size] * page_size + p % page_size.
/// A token that sees no position gives zeros, and -1 in sparse_indices.
///
/// Every argument is checked, and the four calls are planned, before the first byte is written.
/// Deterministic, bit for bit, for any number of threads. No tensor may overlap one that is
/// written. Floating tensors have the dtype of x.
struct Params {
  static constexpr const char* kOperator = "sparse_attention_pto";

  TensorView x = {};                // [B, S1, H] bf16, fp16 or fp32
  TensorView w_dq = {};             // [H, Lq]
  TensorView w_uq_qr = {};          // [Lq, N * (Dq + Dr)], per head Dq columns, then Dr for rope
  TensorView w_uk = {};             // [N, Dq, D], never NZ
  TensorView w_dkv_kr = {};         // [H, D + Dr]
  TensorView gamma_cq = {};         // [Lq]
  TensorView gamma_ckv = {};        // [D]
  TensorView sin = {};              // [B, S1, Dr], full width
  TensorView cos = {};              // [B, S1, Dr]
  TensorView cache_index = {};      // [B, S1] int32 or int64
  OutputView kv_cache = {};         // [pages, page_size, 1, D], updated
  OutputView kr_cache = {};         // [pages, page_size, 1, Dr], updated
  TensorView block_table = {};      // [B, max_pages] int32
  TensorView act_seqs = {};         // [B] int32 or int64: positions, the new tokens included
  TensorView w_idx_qb = {};         // [Lq, Ni * Di]
  TensorView w_idx_k = {};          // [H, Di]
  TensorView w_idx_proj = {};       // [H, Ni]
  TensorView in_gamma_k = {};       // [Di]
  TensorView in_beta_k = {};        // [Di]
  OutputView index_k_cache = {};    // [pages, page_size, 1, Di], updated
  double scale_value = 1.0 / 24.0;  // the document's 576^-0.5
  double epsilon_cq = 1e-5;
  double epsilon_ckv = 1e-5;
  double epsilon_k = 1e-6;
  bool rope_interleaved = true;  // the indexer's rope; that of the attention always is
  int64_t sparse_count = 2048;
  WeightFormat weight_format = WeightFormat::kNd;
  Accuracy accuracy = Accuracy::kStorage;
  bool strict = false;
  OutputView out = {};             // [B, S1, N, D] as x
  OutputView sparse_indices = {};  // [B, S1, 1, sparse_count] int32; absent: not given
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::sparse_attention_pto

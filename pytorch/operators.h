// Made from the contracts by `dev generate` (tools/generate): do not edit.
// clang-format off
// The operators as PyTorch sees them.
#pragma once

#include "operator.h"

namespace tamis::torch_ops {

inline constexpr Argument kNsaCompress[] = {
    {"input", Kind::kTensor},
    {"weight", Kind::kTensor},
    {"act_seq_len", Kind::kInts},
    {"compress_block_size", Kind::kInt},
    {"compress_stride", Kind::kInt},
    {"layout", Kind::kString},
    {"act_seq_len_type", Kind::kInt},
    {"strict", Kind::kBool},
};
inline constexpr const char* kNsaCompressResults[] = {"output"};
inline constexpr Argument kNsaCompressAttention[] = {
    {"query", Kind::kTensor},
    {"key", Kind::kTensor},
    {"value", Kind::kTensor},
    {"atten_mask", Kind::kOptionalTensor},
    {"topk_mask", Kind::kOptionalTensor},
    {"scale_value", Kind::kFloat},
    {"head_num", Kind::kInt},
    {"compress_block_size", Kind::kInt},
    {"compress_stride", Kind::kInt},
    {"select_block_size", Kind::kInt},
    {"select_block_count", Kind::kInt},
    {"actual_seq_qlen", Kind::kInts},
    {"actual_cmp_seq_kvlen", Kind::kInts},
    {"actual_sel_seq_kvlen", Kind::kOptionalInts},
    {"importance", Kind::kString},
    {"masked_rows", Kind::kString},
    {"accuracy", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kNsaCompressAttentionResults[] = {"attention_out", "topk_indices", "softmax_max", "softmax_sum"};
inline constexpr Argument kNsaCompressAttentionInfer[] = {
    {"query", Kind::kTensor},
    {"key", Kind::kTensor},
    {"value", Kind::kTensor},
    {"block_table", Kind::kInt32Tensor},
    {"atten_mask", Kind::kOptionalTensor},
    {"scale_value", Kind::kFloat},
    {"head_num", Kind::kInt},
    {"key_value_head_num", Kind::kInt},
    {"select_block_size", Kind::kInt},
    {"select_block_count", Kind::kInt},
    {"page_block_size", Kind::kInt},
    {"compress_block_size", Kind::kInt},
    {"compress_stride", Kind::kInt},
    {"actual_cmp_seq_kvlen", Kind::kInts},
    {"layout", Kind::kString},
    {"actual_seq_qlen", Kind::kOptionalInts},
    {"actual_sel_seq_kvlen", Kind::kOptionalInts},
    {"importance", Kind::kString},
    {"masked_rows", Kind::kString},
    {"accuracy", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kNsaCompressAttentionInferResults[] = {"attention_out", "topk_indices"};
inline constexpr Argument kSlidingWindowAttention[] = {
    {"query", Kind::kTensor},
    {"key", Kind::kTensor},
    {"value", Kind::kTensor},
    {"block_table", Kind::kOptionalInt32Tensor},
    {"actual_seq_lengths_query", Kind::kOptionalTensor},
    {"actual_seq_lengths_kv", Kind::kOptionalTensor},
    {"scale_value", Kind::kFloat},
    {"window_size", Kind::kInt},
    {"layout_query", Kind::kString},
    {"layout_kv", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kSlidingWindowAttentionResults[] = {"attention_out", "softmax_max", "softmax_sum"};
inline constexpr Argument kMlaProlog[] = {
    {"x", Kind::kTensor},
    {"w_dq", Kind::kTensor},
    {"w_uq_qr", Kind::kTensor},
    {"w_uk", Kind::kTensor},
    {"w_dkv_kr", Kind::kTensor},
    {"gamma_cq", Kind::kTensor},
    {"gamma_ckv", Kind::kTensor},
    {"sin", Kind::kTensor},
    {"cos", Kind::kTensor},
    {"cache_index", Kind::kTensor},
    {"kv_cache", Kind::kUpdatedTensor},
    {"kr_cache", Kind::kUpdatedTensor},
    {"epsilon_cq", Kind::kFloat},
    {"epsilon_ckv", Kind::kFloat},
    {"weight_format", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kMlaPrologResults[] = {"query", "query_rope", "query_norm"};
inline constexpr Argument kIndexerProlog[] = {
    {"x", Kind::kTensor},
    {"w_idx_k", Kind::kTensor},
    {"in_gamma_k", Kind::kTensor},
    {"in_beta_k", Kind::kTensor},
    {"sin", Kind::kTensor},
    {"cos", Kind::kTensor},
    {"cache_index", Kind::kTensor},
    {"index_k_cache", Kind::kUpdatedTensor},
    {"query_norm", Kind::kOptionalTensor},
    {"w_idx_qb", Kind::kOptionalTensor},
    {"w_idx_proj", Kind::kOptionalTensor},
    {"index_k_shadow", Kind::kOptionalUpdatedTensor},
    {"epsilon", Kind::kFloat},
    {"rope_interleaved", Kind::kBool},
    {"weight_format", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kIndexerPrologResults[] = {"query", "weights"};
inline constexpr Argument kNdToNz[] = {
    {"weight", Kind::kTensor},
    {"strict", Kind::kBool},
};
inline constexpr const char* kNdToNzResults[] = {"output"};
inline constexpr Argument kNzToNd[] = {
    {"weight", Kind::kTensor},
    {"strict", Kind::kBool},
};
inline constexpr const char* kNzToNdResults[] = {"output"};
inline constexpr Argument kQuantizeIndexKeys[] = {
    {"key", Kind::kTensor},
    {"layout_key", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kQuantizeIndexKeysResults[] = {"key_shadow"};
inline constexpr Argument kLightningIndexer[] = {
    {"query", Kind::kTensor},
    {"key", Kind::kTensor},
    {"weights", Kind::kTensor},
    {"actual_seq_lengths_query", Kind::kOptionalTensor},
    {"actual_seq_lengths_key", Kind::kOptionalTensor},
    {"block_table", Kind::kOptionalInt32Tensor},
    {"key_shadow", Kind::kOptionalTensor},
    {"layout_query", Kind::kString},
    {"layout_key", Kind::kString},
    {"sparse_count", Kind::kInt},
    {"sparse_mode", Kind::kInt},
    {"return_value", Kind::kBool},
    {"value_dtype", Kind::kString},
    {"pruning", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kLightningIndexerResults[] = {"sparse_indices", "sparse_values"};
inline constexpr Argument kSparseFlashAttention[] = {
    {"query", Kind::kTensor, kContiguous},
    {"key", Kind::kTensor, kContiguous},
    {"sparse_indices", Kind::kInt32Tensor, kContiguous},
    {"value", Kind::kOptionalTensor, kContiguous},
    {"block_table", Kind::kOptionalInt32Tensor},
    {"actual_seq_lengths_query", Kind::kOptionalTensor},
    {"actual_seq_lengths_kv", Kind::kOptionalTensor},
    {"query_rope", Kind::kOptionalTensor, kContiguous},
    {"key_rope", Kind::kOptionalTensor, kContiguous},
    {"sinks", Kind::kOptionalTensor},
    {"scale_value", Kind::kFloat},
    {"sparse_block_size", Kind::kInt},
    {"layout_query", Kind::kString},
    {"layout_kv", Kind::kString},
    {"sparse_mode", Kind::kInt},
    {"return_softmax_lse", Kind::kBool},
    {"kv_format", Kind::kString},
    {"accuracy", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kSparseFlashAttentionResults[] = {"out", "softmax_max", "softmax_sum"};
inline constexpr Argument kSparseAttentionPto[] = {
    {"x", Kind::kTensor, kContiguous},
    {"w_dq", Kind::kTensor, kContiguous},
    {"w_uq_qr", Kind::kTensor, kContiguous},
    {"w_uk", Kind::kTensor, kContiguous},
    {"w_dkv_kr", Kind::kTensor, kContiguous},
    {"gamma_cq", Kind::kTensor, kContiguous},
    {"gamma_ckv", Kind::kTensor, kContiguous},
    {"sin", Kind::kTensor, kContiguous},
    {"cos", Kind::kTensor, kContiguous},
    {"cache_index", Kind::kTensor, kContiguous},
    {"kv_cache", Kind::kUpdatedTensor, kContiguous},
    {"kr_cache", Kind::kUpdatedTensor, kContiguous},
    {"block_table", Kind::kInt32Tensor, kContiguous},
    {"act_seqs", Kind::kTensor, kContiguous},
    {"w_idx_qb", Kind::kTensor, kContiguous},
    {"w_idx_k", Kind::kTensor, kContiguous},
    {"w_idx_proj", Kind::kTensor, kContiguous},
    {"in_gamma_k", Kind::kTensor, kContiguous},
    {"in_beta_k", Kind::kTensor, kContiguous},
    {"index_k_cache", Kind::kUpdatedTensor, kContiguous},
    {"scale_value", Kind::kFloat},
    {"epsilon_cq", Kind::kFloat},
    {"epsilon_ckv", Kind::kFloat},
    {"epsilon_k", Kind::kFloat},
    {"rope_interleaved", Kind::kBool},
    {"sparse_count", Kind::kInt},
    {"weight_format", Kind::kString},
    {"accuracy", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kSparseAttentionPtoResults[] = {"out", "sparse_indices"};
inline constexpr Argument kPackKvRows[] = {
    {"latent", Kind::kTensor},
    {"rope", Kind::kTensor},
    {"kv_format", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kPackKvRowsResults[] = {"rows"};
inline constexpr Argument kUnpackKvRows[] = {
    {"rows", Kind::kTensor},
    {"rope_dim", Kind::kInt},
    {"kv_format", Kind::kString},
    {"dtype", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kUnpackKvRowsResults[] = {"latent", "rope"};
inline constexpr Argument kMergeAttentionStates[] = {
    {"outs", Kind::kTensor},
    {"softmax_maxes", Kind::kTensor},
    {"softmax_sums", Kind::kTensor},
    {"out_dtype", Kind::kString},
    {"strict", Kind::kBool},
};
inline constexpr const char* kMergeAttentionStatesResults[] = {"out", "softmax_max", "softmax_sum"};
inline constexpr Argument kMergeTopk[] = {
    {"values", Kind::kTensor},
    {"indices", Kind::kInt32Tensor},
    {"sparse_count", Kind::kInt},
    {"strict", Kind::kBool},
};
inline constexpr const char* kMergeTopkResults[] = {"sparse_indices", "sparse_values"};
inline constexpr Argument kLocalizeIndices[] = {
    {"indices", Kind::kInt32Tensor},
    {"rank", Kind::kInt},
    {"world", Kind::kInt},
    {"interleave", Kind::kInt},
    {"strict", Kind::kBool},
};
inline constexpr const char* kLocalizeIndicesResults[] = {"sparse_indices", "counts"};

inline constexpr Operator kOperators[] = {
    {"nsa_compress",
     "nsa_compress(Tensor input, Tensor weight, *, SymInt[] act_seq_len, SymInt compress_block_size, SymInt compress_stride, str layout=\"TND\", SymInt act_seq_len_type=0, bool strict=False) -> Tensor output",
     kNsaCompress, std::size(kNsaCompress), kNsaCompressResults, std::size(kNsaCompressResults)},
    {"nsa_compress_attention",
     "nsa_compress_attention(Tensor query, Tensor key, Tensor value, Tensor? atten_mask=None, Tensor? topk_mask=None, *, float scale_value, SymInt head_num, SymInt compress_block_size, SymInt compress_stride, SymInt select_block_size, SymInt select_block_count, SymInt[] actual_seq_qlen, SymInt[] actual_cmp_seq_kvlen, SymInt[]? actual_sel_seq_kvlen=None, str importance=\"cann\", str masked_rows=\"uniform\", str accuracy=\"storage\", bool strict=False) -> (Tensor attention_out, Tensor topk_indices, Tensor softmax_max, Tensor softmax_sum)",
     kNsaCompressAttention, std::size(kNsaCompressAttention), kNsaCompressAttentionResults, std::size(kNsaCompressAttentionResults)},
    {"nsa_compress_attention_infer",
     "nsa_compress_attention_infer(Tensor query, Tensor key, Tensor value, Tensor block_table, Tensor? atten_mask=None, *, float scale_value, SymInt head_num, SymInt key_value_head_num, SymInt select_block_size, SymInt select_block_count, SymInt page_block_size, SymInt compress_block_size, SymInt compress_stride, SymInt[] actual_cmp_seq_kvlen, str layout=\"TND\", SymInt[]? actual_seq_qlen=None, SymInt[]? actual_sel_seq_kvlen=None, str importance=\"cann\", str masked_rows=\"uniform\", str accuracy=\"storage\", bool strict=False) -> (Tensor attention_out, Tensor topk_indices)",
     kNsaCompressAttentionInfer, std::size(kNsaCompressAttentionInfer), kNsaCompressAttentionInferResults, std::size(kNsaCompressAttentionInferResults)},
    {"sliding_window_attention",
     "sliding_window_attention(Tensor query, Tensor key, Tensor value, Tensor? block_table=None, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, *, float scale_value, SymInt window_size, str layout_query=\"BSND\", str layout_kv=\"BSND\", bool strict=False) -> (Tensor attention_out, Tensor softmax_max, Tensor softmax_sum)",
     kSlidingWindowAttention, std::size(kSlidingWindowAttention), kSlidingWindowAttentionResults, std::size(kSlidingWindowAttentionResults)},
    {"mla_prolog",
     "mla_prolog(Tensor x, Tensor w_dq, Tensor w_uq_qr, Tensor w_uk, Tensor w_dkv_kr, Tensor gamma_cq, Tensor gamma_ckv, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) kv_cache, Tensor(b!) kr_cache, *, float epsilon_cq=1e-05, float epsilon_ckv=1e-05, str weight_format=\"ND\", bool strict=False) -> (Tensor query, Tensor query_rope, Tensor query_norm)",
     kMlaProlog, std::size(kMlaProlog), kMlaPrologResults, std::size(kMlaPrologResults)},
    {"indexer_prolog",
     "indexer_prolog(Tensor x, Tensor w_idx_k, Tensor in_gamma_k, Tensor in_beta_k, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) index_k_cache, Tensor? query_norm=None, Tensor? w_idx_qb=None, Tensor? w_idx_proj=None, Tensor(b!)? index_k_shadow=None, *, float epsilon=1e-06, bool rope_interleaved=True, str weight_format=\"ND\", bool strict=False) -> (Tensor query, Tensor weights)",
     kIndexerProlog, std::size(kIndexerProlog), kIndexerPrologResults, std::size(kIndexerPrologResults)},
    {"nd_to_nz",
     "nd_to_nz(Tensor weight, *, bool strict=False) -> Tensor output",
     kNdToNz, std::size(kNdToNz), kNdToNzResults, std::size(kNdToNzResults)},
    {"nz_to_nd",
     "nz_to_nd(Tensor weight, *, bool strict=False) -> Tensor output",
     kNzToNd, std::size(kNzToNd), kNzToNdResults, std::size(kNzToNdResults)},
    {"quantize_index_keys",
     "quantize_index_keys(Tensor key, *, str layout_key=\"BSND\", bool strict=False) -> Tensor key_shadow",
     kQuantizeIndexKeys, std::size(kQuantizeIndexKeys), kQuantizeIndexKeysResults, std::size(kQuantizeIndexKeysResults)},
    {"lightning_indexer",
     "lightning_indexer(Tensor query, Tensor key, Tensor weights, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_key=None, Tensor? block_table=None, Tensor? key_shadow=None, *, str layout_query=\"BSND\", str layout_key=\"BSND\", SymInt sparse_count=2048, SymInt sparse_mode=3, bool return_value=False, str value_dtype=\"input\", str pruning=\"auto\", bool strict=False) -> (Tensor sparse_indices, Tensor sparse_values)",
     kLightningIndexer, std::size(kLightningIndexer), kLightningIndexerResults, std::size(kLightningIndexerResults)},
    {"sparse_flash_attention",
     "sparse_flash_attention(Tensor query, Tensor key, Tensor sparse_indices, Tensor? value=None, Tensor? block_table=None, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, Tensor? query_rope=None, Tensor? key_rope=None, Tensor? sinks=None, *, float scale_value, SymInt sparse_block_size=1, str layout_query=\"BSND\", str layout_kv=\"BSND\", SymInt sparse_mode=3, bool return_softmax_lse=False, str kv_format=\"split\", str accuracy=\"storage\", bool strict=False) -> (Tensor out, Tensor softmax_max, Tensor softmax_sum)",
     kSparseFlashAttention, std::size(kSparseFlashAttention), kSparseFlashAttentionResults, std::size(kSparseFlashAttentionResults)},
    {"sparse_attention_pto",
     "sparse_attention_pto(Tensor x, Tensor w_dq, Tensor w_uq_qr, Tensor w_uk, Tensor w_dkv_kr, Tensor gamma_cq, Tensor gamma_ckv, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) kv_cache, Tensor(b!) kr_cache, Tensor block_table, Tensor act_seqs, Tensor w_idx_qb, Tensor w_idx_k, Tensor w_idx_proj, Tensor in_gamma_k, Tensor in_beta_k, Tensor(c!) index_k_cache, *, float scale_value=0.041666666666666664, float epsilon_cq=1e-05, float epsilon_ckv=1e-05, float epsilon_k=1e-06, bool rope_interleaved=True, SymInt sparse_count=2048, str weight_format=\"ND\", str accuracy=\"storage\", bool strict=False) -> (Tensor out, Tensor sparse_indices)",
     kSparseAttentionPto, std::size(kSparseAttentionPto), kSparseAttentionPtoResults, std::size(kSparseAttentionPtoResults)},
    {"pack_kv_rows",
     "pack_kv_rows(Tensor latent, Tensor rope, *, str kv_format=\"cann656\", bool strict=False) -> Tensor rows",
     kPackKvRows, std::size(kPackKvRows), kPackKvRowsResults, std::size(kPackKvRowsResults)},
    {"unpack_kv_rows",
     "unpack_kv_rows(Tensor rows, *, SymInt rope_dim=64, str kv_format=\"cann656\", str dtype=\"bfloat16\", bool strict=False) -> (Tensor latent, Tensor rope)",
     kUnpackKvRows, std::size(kUnpackKvRows), kUnpackKvRowsResults, std::size(kUnpackKvRowsResults)},
    {"merge_attention_states",
     "merge_attention_states(Tensor outs, Tensor softmax_maxes, Tensor softmax_sums, *, str out_dtype=\"input\", bool strict=False) -> (Tensor out, Tensor softmax_max, Tensor softmax_sum)",
     kMergeAttentionStates, std::size(kMergeAttentionStates), kMergeAttentionStatesResults, std::size(kMergeAttentionStatesResults)},
    {"merge_topk",
     "merge_topk(Tensor values, Tensor indices, *, SymInt sparse_count, bool strict=False) -> (Tensor sparse_indices, Tensor sparse_values)",
     kMergeTopk, std::size(kMergeTopk), kMergeTopkResults, std::size(kMergeTopkResults)},
    {"localize_indices",
     "localize_indices(Tensor indices, *, SymInt rank, SymInt world, SymInt interleave=1, bool strict=False) -> (Tensor sparse_indices, Tensor counts)",
     kLocalizeIndices, std::size(kLocalizeIndices), kLocalizeIndicesResults, std::size(kLocalizeIndicesResults)},
};

}  // namespace tamis::torch_ops

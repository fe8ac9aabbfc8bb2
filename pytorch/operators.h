// Made from the contracts by `dev generate` (tools/generate): do not edit.
// clang-format off
// The operators as PyTorch sees them.
#pragma once

#include "operator.h"

namespace tamis::torch_ops {

inline constexpr Argument kNsaCompress[] = {
    {.name = "input", .kind = Kind::kTensor},
    {.name = "weight", .kind = Kind::kTensor},
    {.name = "act_seq_len", .kind = Kind::kInts},
    {.name = "compress_block_size", .kind = Kind::kInt},
    {.name = "compress_stride", .kind = Kind::kInt},
    {.name = "layout", .kind = Kind::kString},
    {.name = "act_seq_len_type", .kind = Kind::kInt},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kNsaCompressOutputs[] = {
    {.name = "output", .kind = Kind::kUpdatedTensor},
};
inline constexpr Argument kNsaCompressAttention[] = {
    {.name = "query", .kind = Kind::kTensor},
    {.name = "key", .kind = Kind::kTensor},
    {.name = "value", .kind = Kind::kTensor},
    {.name = "atten_mask", .kind = Kind::kOptionalTensor},
    {.name = "topk_mask", .kind = Kind::kOptionalTensor},
    {.name = "scale_value", .kind = Kind::kFloat},
    {.name = "head_num", .kind = Kind::kInt},
    {.name = "compress_block_size", .kind = Kind::kInt},
    {.name = "compress_stride", .kind = Kind::kInt},
    {.name = "select_block_size", .kind = Kind::kInt},
    {.name = "select_block_count", .kind = Kind::kInt},
    {.name = "actual_seq_qlen", .kind = Kind::kInts},
    {.name = "actual_cmp_seq_kvlen", .kind = Kind::kInts},
    {.name = "actual_sel_seq_kvlen", .kind = Kind::kOptionalInts},
    {.name = "importance", .kind = Kind::kString},
    {.name = "masked_rows", .kind = Kind::kString},
    {.name = "accuracy", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kNsaCompressAttentionOutputs[] = {
    {.name = "attention_out", .kind = Kind::kUpdatedTensor},
    {.name = "topk_indices", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "softmax_max", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "softmax_sum", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kNsaCompressAttentionInfer[] = {
    {.name = "query", .kind = Kind::kTensor},
    {.name = "key", .kind = Kind::kTensor},
    {.name = "value", .kind = Kind::kTensor},
    {.name = "block_table", .kind = Kind::kInt32Tensor, .read_by_plan = true},
    {.name = "atten_mask", .kind = Kind::kOptionalTensor},
    {.name = "scale_value", .kind = Kind::kFloat},
    {.name = "head_num", .kind = Kind::kInt},
    {.name = "key_value_head_num", .kind = Kind::kInt},
    {.name = "select_block_size", .kind = Kind::kInt},
    {.name = "select_block_count", .kind = Kind::kInt},
    {.name = "page_block_size", .kind = Kind::kInt},
    {.name = "compress_block_size", .kind = Kind::kInt},
    {.name = "compress_stride", .kind = Kind::kInt},
    {.name = "actual_cmp_seq_kvlen", .kind = Kind::kInts},
    {.name = "layout", .kind = Kind::kString},
    {.name = "actual_seq_qlen", .kind = Kind::kOptionalInts},
    {.name = "actual_sel_seq_kvlen", .kind = Kind::kOptionalInts},
    {.name = "importance", .kind = Kind::kString},
    {.name = "masked_rows", .kind = Kind::kString},
    {.name = "accuracy", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kNsaCompressAttentionInferOutputs[] = {
    {.name = "attention_out", .kind = Kind::kUpdatedTensor},
    {.name = "topk_indices", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kSlidingWindowAttention[] = {
    {.name = "query", .kind = Kind::kTensor},
    {.name = "key", .kind = Kind::kTensor},
    {.name = "value", .kind = Kind::kTensor},
    {.name = "block_table", .kind = Kind::kOptionalInt32Tensor, .read_by_plan = true},
    {.name = "actual_seq_lengths_query", .kind = Kind::kOptionalTensor, .read_by_plan = true},
    {.name = "actual_seq_lengths_kv", .kind = Kind::kOptionalTensor, .read_by_plan = true},
    {.name = "scale_value", .kind = Kind::kFloat},
    {.name = "window_size", .kind = Kind::kInt},
    {.name = "layout_query", .kind = Kind::kString},
    {.name = "layout_kv", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kSlidingWindowAttentionOutputs[] = {
    {.name = "attention_out", .kind = Kind::kUpdatedTensor},
    {.name = "softmax_max", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "softmax_sum", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kMlaProlog[] = {
    {.name = "x", .kind = Kind::kTensor},
    {.name = "w_dq", .kind = Kind::kTensor},
    {.name = "w_uq_qr", .kind = Kind::kTensor},
    {.name = "w_uk", .kind = Kind::kTensor},
    {.name = "w_dkv_kr", .kind = Kind::kTensor},
    {.name = "gamma_cq", .kind = Kind::kTensor},
    {.name = "gamma_ckv", .kind = Kind::kTensor},
    {.name = "sin", .kind = Kind::kTensor},
    {.name = "cos", .kind = Kind::kTensor},
    {.name = "cache_index", .kind = Kind::kTensor, .read_by_plan = true},
    {.name = "kv_cache", .kind = Kind::kUpdatedTensor},
    {.name = "kr_cache", .kind = Kind::kUpdatedTensor},
    {.name = "epsilon_cq", .kind = Kind::kFloat},
    {.name = "epsilon_ckv", .kind = Kind::kFloat},
    {.name = "weight_format", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kMlaPrologOutputs[] = {
    {.name = "query", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "query_rope", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "query_norm", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kIndexerProlog[] = {
    {.name = "x", .kind = Kind::kTensor},
    {.name = "w_idx_k", .kind = Kind::kTensor},
    {.name = "in_gamma_k", .kind = Kind::kTensor},
    {.name = "in_beta_k", .kind = Kind::kTensor},
    {.name = "sin", .kind = Kind::kTensor},
    {.name = "cos", .kind = Kind::kTensor},
    {.name = "cache_index", .kind = Kind::kTensor, .read_by_plan = true},
    {.name = "index_k_cache", .kind = Kind::kUpdatedTensor},
    {.name = "query_norm", .kind = Kind::kOptionalTensor},
    {.name = "w_idx_qb", .kind = Kind::kOptionalTensor},
    {.name = "w_idx_proj", .kind = Kind::kOptionalTensor},
    {.name = "index_k_shadow", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "epsilon", .kind = Kind::kFloat},
    {.name = "rope_interleaved", .kind = Kind::kBool},
    {.name = "weight_format", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kIndexerPrologOutputs[] = {
    {.name = "query", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "weights", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kNdToNz[] = {
    {.name = "weight", .kind = Kind::kTensor},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kNdToNzOutputs[] = {
    {.name = "output", .kind = Kind::kUpdatedTensor},
};
inline constexpr Argument kNzToNd[] = {
    {.name = "weight", .kind = Kind::kTensor},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kNzToNdOutputs[] = {
    {.name = "output", .kind = Kind::kUpdatedTensor},
};
inline constexpr Argument kQuantizeIndexKeys[] = {
    {.name = "key", .kind = Kind::kTensor},
    {.name = "layout_key", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kQuantizeIndexKeysOutputs[] = {
    {.name = "key_shadow", .kind = Kind::kUpdatedTensor},
};
inline constexpr Argument kLightningIndexer[] = {
    {.name = "query", .kind = Kind::kTensor},
    {.name = "key", .kind = Kind::kTensor},
    {.name = "weights", .kind = Kind::kTensor},
    {.name = "actual_seq_lengths_query", .kind = Kind::kOptionalTensor, .read_by_plan = true},
    {.name = "actual_seq_lengths_key", .kind = Kind::kOptionalTensor, .read_by_plan = true},
    {.name = "block_table", .kind = Kind::kOptionalInt32Tensor, .read_by_plan = true},
    {.name = "key_shadow", .kind = Kind::kOptionalTensor},
    {.name = "layout_query", .kind = Kind::kString},
    {.name = "layout_key", .kind = Kind::kString},
    {.name = "sparse_count", .kind = Kind::kInt},
    {.name = "sparse_mode", .kind = Kind::kInt},
    {.name = "return_value", .kind = Kind::kBool},
    {.name = "value_dtype", .kind = Kind::kString},
    {.name = "pruning", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kLightningIndexerOutputs[] = {
    {.name = "sparse_indices", .kind = Kind::kUpdatedTensor},
    {.name = "sparse_values", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kSparseFlashAttention[] = {
    {.name = "query", .kind = Kind::kTensor, .contiguous = true},
    {.name = "key", .kind = Kind::kTensor, .contiguous = true},
    {.name = "sparse_indices", .kind = Kind::kInt32Tensor, .contiguous = true},
    {.name = "value", .kind = Kind::kOptionalTensor, .contiguous = true},
    {.name = "block_table", .kind = Kind::kOptionalInt32Tensor, .read_by_plan = true},
    {.name = "actual_seq_lengths_query", .kind = Kind::kOptionalTensor, .read_by_plan = true},
    {.name = "actual_seq_lengths_kv", .kind = Kind::kOptionalTensor, .read_by_plan = true},
    {.name = "query_rope", .kind = Kind::kOptionalTensor, .contiguous = true},
    {.name = "key_rope", .kind = Kind::kOptionalTensor, .contiguous = true},
    {.name = "sinks", .kind = Kind::kOptionalTensor},
    {.name = "scale_value", .kind = Kind::kFloat},
    {.name = "sparse_block_size", .kind = Kind::kInt},
    {.name = "layout_query", .kind = Kind::kString},
    {.name = "layout_kv", .kind = Kind::kString},
    {.name = "sparse_mode", .kind = Kind::kInt},
    {.name = "return_softmax_lse", .kind = Kind::kBool},
    {.name = "kv_format", .kind = Kind::kString},
    {.name = "accuracy", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kSparseFlashAttentionOutputs[] = {
    {.name = "out", .kind = Kind::kUpdatedTensor},
    {.name = "softmax_max", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "softmax_sum", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kSparseAttentionPto[] = {
    {.name = "x", .kind = Kind::kTensor, .contiguous = true},
    {.name = "w_dq", .kind = Kind::kTensor, .contiguous = true},
    {.name = "w_uq_qr", .kind = Kind::kTensor, .contiguous = true},
    {.name = "w_uk", .kind = Kind::kTensor, .contiguous = true},
    {.name = "w_dkv_kr", .kind = Kind::kTensor, .contiguous = true},
    {.name = "gamma_cq", .kind = Kind::kTensor, .contiguous = true},
    {.name = "gamma_ckv", .kind = Kind::kTensor, .contiguous = true},
    {.name = "sin", .kind = Kind::kTensor, .contiguous = true},
    {.name = "cos", .kind = Kind::kTensor, .contiguous = true},
    {.name = "cache_index", .kind = Kind::kTensor, .contiguous = true, .read_by_plan = true},
    {.name = "kv_cache", .kind = Kind::kUpdatedTensor, .contiguous = true},
    {.name = "kr_cache", .kind = Kind::kUpdatedTensor, .contiguous = true},
    {.name = "block_table", .kind = Kind::kInt32Tensor, .contiguous = true, .read_by_plan = true},
    {.name = "act_seqs", .kind = Kind::kTensor, .contiguous = true, .read_by_plan = true},
    {.name = "w_idx_qb", .kind = Kind::kTensor, .contiguous = true},
    {.name = "w_idx_k", .kind = Kind::kTensor, .contiguous = true},
    {.name = "w_idx_proj", .kind = Kind::kTensor, .contiguous = true},
    {.name = "in_gamma_k", .kind = Kind::kTensor, .contiguous = true},
    {.name = "in_beta_k", .kind = Kind::kTensor, .contiguous = true},
    {.name = "index_k_cache", .kind = Kind::kUpdatedTensor, .contiguous = true},
    {.name = "scale_value", .kind = Kind::kFloat},
    {.name = "epsilon_cq", .kind = Kind::kFloat},
    {.name = "epsilon_ckv", .kind = Kind::kFloat},
    {.name = "epsilon_k", .kind = Kind::kFloat},
    {.name = "rope_interleaved", .kind = Kind::kBool},
    {.name = "sparse_count", .kind = Kind::kInt},
    {.name = "weight_format", .kind = Kind::kString},
    {.name = "accuracy", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kSparseAttentionPtoOutputs[] = {
    {.name = "out", .kind = Kind::kUpdatedTensor},
    {.name = "sparse_indices", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kPackKvRows[] = {
    {.name = "latent", .kind = Kind::kTensor},
    {.name = "rope", .kind = Kind::kTensor},
    {.name = "kv_format", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kPackKvRowsOutputs[] = {
    {.name = "rows", .kind = Kind::kUpdatedTensor},
};
inline constexpr Argument kUnpackKvRows[] = {
    {.name = "rows", .kind = Kind::kTensor},
    {.name = "rope_dim", .kind = Kind::kInt},
    {.name = "kv_format", .kind = Kind::kString},
    {.name = "dtype", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kUnpackKvRowsOutputs[] = {
    {.name = "latent", .kind = Kind::kUpdatedTensor},
    {.name = "rope", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kMergeAttentionStates[] = {
    {.name = "outs", .kind = Kind::kTensor},
    {.name = "softmax_maxes", .kind = Kind::kTensor},
    {.name = "softmax_sums", .kind = Kind::kTensor},
    {.name = "out_dtype", .kind = Kind::kString},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kMergeAttentionStatesOutputs[] = {
    {.name = "out", .kind = Kind::kUpdatedTensor},
    {.name = "softmax_max", .kind = Kind::kOptionalUpdatedTensor},
    {.name = "softmax_sum", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kMergeTopk[] = {
    {.name = "values", .kind = Kind::kTensor},
    {.name = "indices", .kind = Kind::kInt32Tensor},
    {.name = "sparse_count", .kind = Kind::kInt},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kMergeTopkOutputs[] = {
    {.name = "sparse_indices", .kind = Kind::kUpdatedTensor},
    {.name = "sparse_values", .kind = Kind::kOptionalUpdatedTensor},
};
inline constexpr Argument kLocalizeIndices[] = {
    {.name = "indices", .kind = Kind::kInt32Tensor},
    {.name = "rank", .kind = Kind::kInt},
    {.name = "world", .kind = Kind::kInt},
    {.name = "interleave", .kind = Kind::kInt},
    {.name = "strict", .kind = Kind::kBool},
};
inline constexpr Argument kLocalizeIndicesOutputs[] = {
    {.name = "sparse_indices", .kind = Kind::kUpdatedTensor},
    {.name = "counts", .kind = Kind::kOptionalUpdatedTensor},
};

inline constexpr Operator kOperators[] = {
    {.name = "nsa_compress",
     .schema = "nsa_compress(Tensor input, Tensor weight, *, SymInt[] act_seq_len, SymInt compress_block_size, SymInt compress_stride, str layout=\"TND\", SymInt act_seq_len_type=0, bool strict=False) -> Tensor output",
     .out_name = "nsa_compress.out",
     .out_schema = "nsa_compress.out(Tensor input, Tensor weight, *, SymInt[] act_seq_len, SymInt compress_block_size, SymInt compress_stride, str layout=\"TND\", SymInt act_seq_len_type=0, bool strict=False, Tensor(a!) output) -> ()",
     .arguments = kNsaCompress,
     .outputs = kNsaCompressOutputs},
    {.name = "nsa_compress_attention",
     .schema = "nsa_compress_attention(Tensor query, Tensor key, Tensor value, Tensor? atten_mask=None, Tensor? topk_mask=None, *, float scale_value, SymInt head_num, SymInt compress_block_size, SymInt compress_stride, SymInt select_block_size, SymInt select_block_count, SymInt[] actual_seq_qlen, SymInt[] actual_cmp_seq_kvlen, SymInt[]? actual_sel_seq_kvlen=None, str importance=\"cann\", str masked_rows=\"uniform\", str accuracy=\"storage\", bool strict=False) -> (Tensor attention_out, Tensor topk_indices, Tensor softmax_max, Tensor softmax_sum)",
     .out_name = "nsa_compress_attention.out",
     .out_schema = "nsa_compress_attention.out(Tensor query, Tensor key, Tensor value, Tensor? atten_mask=None, Tensor? topk_mask=None, *, float scale_value, SymInt head_num, SymInt compress_block_size, SymInt compress_stride, SymInt select_block_size, SymInt select_block_count, SymInt[] actual_seq_qlen, SymInt[] actual_cmp_seq_kvlen, SymInt[]? actual_sel_seq_kvlen=None, str importance=\"cann\", str masked_rows=\"uniform\", str accuracy=\"storage\", bool strict=False, Tensor(a!) attention_out, Tensor(b!)? topk_indices=None, Tensor(c!)? softmax_max=None, Tensor(d!)? softmax_sum=None) -> ()",
     .arguments = kNsaCompressAttention,
     .outputs = kNsaCompressAttentionOutputs},
    {.name = "nsa_compress_attention_infer",
     .schema = "nsa_compress_attention_infer(Tensor query, Tensor key, Tensor value, Tensor block_table, Tensor? atten_mask=None, *, float scale_value, SymInt head_num, SymInt key_value_head_num, SymInt select_block_size, SymInt select_block_count, SymInt page_block_size, SymInt compress_block_size, SymInt compress_stride, SymInt[] actual_cmp_seq_kvlen, str layout=\"TND\", SymInt[]? actual_seq_qlen=None, SymInt[]? actual_sel_seq_kvlen=None, str importance=\"cann\", str masked_rows=\"uniform\", str accuracy=\"storage\", bool strict=False) -> (Tensor attention_out, Tensor topk_indices)",
     .out_name = "nsa_compress_attention_infer.out",
     .out_schema = "nsa_compress_attention_infer.out(Tensor query, Tensor key, Tensor value, Tensor block_table, Tensor? atten_mask=None, *, float scale_value, SymInt head_num, SymInt key_value_head_num, SymInt select_block_size, SymInt select_block_count, SymInt page_block_size, SymInt compress_block_size, SymInt compress_stride, SymInt[] actual_cmp_seq_kvlen, str layout=\"TND\", SymInt[]? actual_seq_qlen=None, SymInt[]? actual_sel_seq_kvlen=None, str importance=\"cann\", str masked_rows=\"uniform\", str accuracy=\"storage\", bool strict=False, Tensor(a!) attention_out, Tensor(b!)? topk_indices=None) -> ()",
     .arguments = kNsaCompressAttentionInfer,
     .outputs = kNsaCompressAttentionInferOutputs},
    {.name = "sliding_window_attention",
     .schema = "sliding_window_attention(Tensor query, Tensor key, Tensor value, Tensor? block_table=None, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, *, float scale_value, SymInt window_size, str layout_query=\"BSND\", str layout_kv=\"BSND\", bool strict=False) -> (Tensor attention_out, Tensor softmax_max, Tensor softmax_sum)",
     .out_name = "sliding_window_attention.out",
     .out_schema = "sliding_window_attention.out(Tensor query, Tensor key, Tensor value, Tensor? block_table=None, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, *, float scale_value, SymInt window_size, str layout_query=\"BSND\", str layout_kv=\"BSND\", bool strict=False, Tensor(a!) attention_out, Tensor(b!)? softmax_max=None, Tensor(c!)? softmax_sum=None) -> ()",
     .arguments = kSlidingWindowAttention,
     .outputs = kSlidingWindowAttentionOutputs},
    {.name = "mla_prolog",
     .schema = "mla_prolog(Tensor x, Tensor w_dq, Tensor w_uq_qr, Tensor w_uk, Tensor w_dkv_kr, Tensor gamma_cq, Tensor gamma_ckv, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) kv_cache, Tensor(b!) kr_cache, *, float epsilon_cq=1e-05, float epsilon_ckv=1e-05, str weight_format=\"ND\", bool strict=False) -> (Tensor query, Tensor query_rope, Tensor query_norm)",
     .out_name = "mla_prolog.out",
     .out_schema = "mla_prolog.out(Tensor x, Tensor w_dq, Tensor w_uq_qr, Tensor w_uk, Tensor w_dkv_kr, Tensor gamma_cq, Tensor gamma_ckv, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) kv_cache, Tensor(b!) kr_cache, *, float epsilon_cq=1e-05, float epsilon_ckv=1e-05, str weight_format=\"ND\", bool strict=False, Tensor(c!)? query=None, Tensor(d!)? query_rope=None, Tensor(e!)? query_norm=None) -> ()",
     .arguments = kMlaProlog,
     .outputs = kMlaPrologOutputs},
    {.name = "indexer_prolog",
     .schema = "indexer_prolog(Tensor x, Tensor w_idx_k, Tensor in_gamma_k, Tensor in_beta_k, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) index_k_cache, Tensor? query_norm=None, Tensor? w_idx_qb=None, Tensor? w_idx_proj=None, Tensor(b!)? index_k_shadow=None, *, float epsilon=1e-06, bool rope_interleaved=True, str weight_format=\"ND\", bool strict=False) -> (Tensor query, Tensor weights)",
     .out_name = "indexer_prolog.out",
     .out_schema = "indexer_prolog.out(Tensor x, Tensor w_idx_k, Tensor in_gamma_k, Tensor in_beta_k, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) index_k_cache, Tensor? query_norm=None, Tensor? w_idx_qb=None, Tensor? w_idx_proj=None, Tensor(b!)? index_k_shadow=None, *, float epsilon=1e-06, bool rope_interleaved=True, str weight_format=\"ND\", bool strict=False, Tensor(c!)? query=None, Tensor(d!)? weights=None) -> ()",
     .arguments = kIndexerProlog,
     .outputs = kIndexerPrologOutputs},
    {.name = "nd_to_nz",
     .schema = "nd_to_nz(Tensor weight, *, bool strict=False) -> Tensor output",
     .out_name = "nd_to_nz.out",
     .out_schema = "nd_to_nz.out(Tensor weight, *, bool strict=False, Tensor(a!) output) -> ()",
     .arguments = kNdToNz,
     .outputs = kNdToNzOutputs},
    {.name = "nz_to_nd",
     .schema = "nz_to_nd(Tensor weight, *, bool strict=False) -> Tensor output",
     .out_name = "nz_to_nd.out",
     .out_schema = "nz_to_nd.out(Tensor weight, *, bool strict=False, Tensor(a!) output) -> ()",
     .arguments = kNzToNd,
     .outputs = kNzToNdOutputs},
    {.name = "quantize_index_keys",
     .schema = "quantize_index_keys(Tensor key, *, str layout_key=\"BSND\", bool strict=False) -> Tensor key_shadow",
     .out_name = "quantize_index_keys.out",
     .out_schema = "quantize_index_keys.out(Tensor key, *, str layout_key=\"BSND\", bool strict=False, Tensor(a!) key_shadow) -> ()",
     .arguments = kQuantizeIndexKeys,
     .outputs = kQuantizeIndexKeysOutputs},
    {.name = "lightning_indexer",
     .schema = "lightning_indexer(Tensor query, Tensor key, Tensor weights, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_key=None, Tensor? block_table=None, Tensor? key_shadow=None, *, str layout_query=\"BSND\", str layout_key=\"BSND\", SymInt sparse_count=2048, SymInt sparse_mode=3, bool return_value=False, str value_dtype=\"input\", str pruning=\"auto\", bool strict=False) -> (Tensor sparse_indices, Tensor sparse_values)",
     .out_name = "lightning_indexer.out",
     .out_schema = "lightning_indexer.out(Tensor query, Tensor key, Tensor weights, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_key=None, Tensor? block_table=None, Tensor? key_shadow=None, *, str layout_query=\"BSND\", str layout_key=\"BSND\", SymInt sparse_count=2048, SymInt sparse_mode=3, bool return_value=False, str value_dtype=\"input\", str pruning=\"auto\", bool strict=False, Tensor(a!) sparse_indices, Tensor(b!)? sparse_values=None) -> ()",
     .arguments = kLightningIndexer,
     .outputs = kLightningIndexerOutputs},
    {.name = "sparse_flash_attention",
     .schema = "sparse_flash_attention(Tensor query, Tensor key, Tensor sparse_indices, Tensor? value=None, Tensor? block_table=None, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, Tensor? query_rope=None, Tensor? key_rope=None, Tensor? sinks=None, *, float scale_value, SymInt sparse_block_size=1, str layout_query=\"BSND\", str layout_kv=\"BSND\", SymInt sparse_mode=3, bool return_softmax_lse=False, str kv_format=\"split\", str accuracy=\"storage\", bool strict=False) -> (Tensor out, Tensor softmax_max, Tensor softmax_sum)",
     .out_name = "sparse_flash_attention.out",
     .out_schema = "sparse_flash_attention.out(Tensor query, Tensor key, Tensor sparse_indices, Tensor? value=None, Tensor? block_table=None, Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, Tensor? query_rope=None, Tensor? key_rope=None, Tensor? sinks=None, *, float scale_value, SymInt sparse_block_size=1, str layout_query=\"BSND\", str layout_kv=\"BSND\", SymInt sparse_mode=3, bool return_softmax_lse=False, str kv_format=\"split\", str accuracy=\"storage\", bool strict=False, Tensor(a!) out, Tensor(b!)? softmax_max=None, Tensor(c!)? softmax_sum=None) -> ()",
     .arguments = kSparseFlashAttention,
     .outputs = kSparseFlashAttentionOutputs},
    {.name = "sparse_attention_pto",
     .schema = "sparse_attention_pto(Tensor x, Tensor w_dq, Tensor w_uq_qr, Tensor w_uk, Tensor w_dkv_kr, Tensor gamma_cq, Tensor gamma_ckv, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) kv_cache, Tensor(b!) kr_cache, Tensor block_table, Tensor act_seqs, Tensor w_idx_qb, Tensor w_idx_k, Tensor w_idx_proj, Tensor in_gamma_k, Tensor in_beta_k, Tensor(c!) index_k_cache, *, float scale_value=0.041666666666666664, float epsilon_cq=1e-05, float epsilon_ckv=1e-05, float epsilon_k=1e-06, bool rope_interleaved=True, SymInt sparse_count=2048, str weight_format=\"ND\", str accuracy=\"storage\", bool strict=False) -> (Tensor out, Tensor sparse_indices)",
     .out_name = "sparse_attention_pto.out",
     .out_schema = "sparse_attention_pto.out(Tensor x, Tensor w_dq, Tensor w_uq_qr, Tensor w_uk, Tensor w_dkv_kr, Tensor gamma_cq, Tensor gamma_ckv, Tensor sin, Tensor cos, Tensor cache_index, Tensor(a!) kv_cache, Tensor(b!) kr_cache, Tensor block_table, Tensor act_seqs, Tensor w_idx_qb, Tensor w_idx_k, Tensor w_idx_proj, Tensor in_gamma_k, Tensor in_beta_k, Tensor(c!) index_k_cache, *, float scale_value=0.041666666666666664, float epsilon_cq=1e-05, float epsilon_ckv=1e-05, float epsilon_k=1e-06, bool rope_interleaved=True, SymInt sparse_count=2048, str weight_format=\"ND\", str accuracy=\"storage\", bool strict=False, Tensor(d!) out, Tensor(e!)? sparse_indices=None) -> ()",
     .arguments = kSparseAttentionPto,
     .outputs = kSparseAttentionPtoOutputs},
    {.name = "pack_kv_rows",
     .schema = "pack_kv_rows(Tensor latent, Tensor rope, *, str kv_format=\"cann656\", bool strict=False) -> Tensor rows",
     .out_name = "pack_kv_rows.out",
     .out_schema = "pack_kv_rows.out(Tensor latent, Tensor rope, *, str kv_format=\"cann656\", bool strict=False, Tensor(a!) rows) -> ()",
     .arguments = kPackKvRows,
     .outputs = kPackKvRowsOutputs},
    {.name = "unpack_kv_rows",
     .schema = "unpack_kv_rows(Tensor rows, *, SymInt rope_dim=64, str kv_format=\"cann656\", str dtype=\"bfloat16\", bool strict=False) -> (Tensor latent, Tensor rope)",
     .out_name = "unpack_kv_rows.out",
     .out_schema = "unpack_kv_rows.out(Tensor rows, *, SymInt rope_dim=64, str kv_format=\"cann656\", str dtype=\"bfloat16\", bool strict=False, Tensor(a!) latent, Tensor(b!)? rope=None) -> ()",
     .arguments = kUnpackKvRows,
     .outputs = kUnpackKvRowsOutputs},
    {.name = "merge_attention_states",
     .schema = "merge_attention_states(Tensor outs, Tensor softmax_maxes, Tensor softmax_sums, *, str out_dtype=\"input\", bool strict=False) -> (Tensor out, Tensor softmax_max, Tensor softmax_sum)",
     .out_name = "merge_attention_states.out",
     .out_schema = "merge_attention_states.out(Tensor outs, Tensor softmax_maxes, Tensor softmax_sums, *, str out_dtype=\"input\", bool strict=False, Tensor(a!) out, Tensor(b!)? softmax_max=None, Tensor(c!)? softmax_sum=None) -> ()",
     .arguments = kMergeAttentionStates,
     .outputs = kMergeAttentionStatesOutputs},
    {.name = "merge_topk",
     .schema = "merge_topk(Tensor values, Tensor indices, *, SymInt sparse_count, bool strict=False) -> (Tensor sparse_indices, Tensor sparse_values)",
     .out_name = "merge_topk.out",
     .out_schema = "merge_topk.out(Tensor values, Tensor indices, *, SymInt sparse_count, bool strict=False, Tensor(a!) sparse_indices, Tensor(b!)? sparse_values=None) -> ()",
     .arguments = kMergeTopk,
     .outputs = kMergeTopkOutputs},
    {.name = "localize_indices",
     .schema = "localize_indices(Tensor indices, *, SymInt rank, SymInt world, SymInt interleave=1, bool strict=False) -> (Tensor sparse_indices, Tensor counts)",
     .out_name = "localize_indices.out",
     .out_schema = "localize_indices.out(Tensor indices, *, SymInt rank, SymInt world, SymInt interleave=1, bool strict=False, Tensor(a!) sparse_indices, Tensor(b!)? counts=None) -> ()",
     .arguments = kLocalizeIndices,
     .outputs = kLocalizeIndicesOutputs},
};

}  // namespace tamis::torch_ops

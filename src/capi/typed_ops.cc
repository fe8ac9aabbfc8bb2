// Made from the contracts by `dev generate` (tools/generate): do not edit.
// clang-format off
#include <cstddef>

#include "capi/typed.h"
#include "tamis/tamis.h"

namespace tamis::capi {
namespace {

constexpr Member kNsaCompressMembers[] = {
    {"input", base::Type::kTensor, offsetof(tamis_nsa_compress_params, input)},
    {"weight", base::Type::kTensor, offsetof(tamis_nsa_compress_params, weight)},
    {"act_seq_len", base::Type::kInts, offsetof(tamis_nsa_compress_params, act_seq_len)},
    {"compress_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_params, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(tamis_nsa_compress_params, compress_stride)},
    {"layout", base::Type::kChoice, offsetof(tamis_nsa_compress_params, layout)},
    {"act_seq_len_type", base::Type::kInt, offsetof(tamis_nsa_compress_params, act_seq_len_type)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_compress_params, strict)},
    {"output", base::Type::kTensor, offsetof(tamis_nsa_compress_params, output)},
};
constexpr Typed kNsaCompress = {"nsa_compress", kNsaCompressMembers, sizeof(tamis_nsa_compress_params)};

constexpr Member kNsaCompressGradMembers[] = {
    {"output_grad", base::Type::kTensor, offsetof(tamis_nsa_compress_grad_params, output_grad)},
    {"input", base::Type::kTensor, offsetof(tamis_nsa_compress_grad_params, input)},
    {"weight", base::Type::kTensor, offsetof(tamis_nsa_compress_grad_params, weight)},
    {"act_seq_len", base::Type::kInts, offsetof(tamis_nsa_compress_grad_params, act_seq_len)},
    {"compress_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_grad_params, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(tamis_nsa_compress_grad_params, compress_stride)},
    {"layout", base::Type::kChoice, offsetof(tamis_nsa_compress_grad_params, layout)},
    {"act_seq_len_type", base::Type::kInt, offsetof(tamis_nsa_compress_grad_params, act_seq_len_type)},
    {"return_input_grad", base::Type::kBool, offsetof(tamis_nsa_compress_grad_params, return_input_grad)},
    {"return_weight_grad", base::Type::kBool, offsetof(tamis_nsa_compress_grad_params, return_weight_grad)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_compress_grad_params, strict)},
    {"input_grad", base::Type::kTensor, offsetof(tamis_nsa_compress_grad_params, input_grad)},
    {"weight_grad", base::Type::kTensor, offsetof(tamis_nsa_compress_grad_params, weight_grad)},
};
constexpr Typed kNsaCompressGrad = {"nsa_compress_grad", kNsaCompressGradMembers, sizeof(tamis_nsa_compress_grad_params)};

constexpr Member kNsaCompressInferMembers[] = {
    {"input", base::Type::kTensor, offsetof(tamis_nsa_compress_infer_params, input)},
    {"weight", base::Type::kTensor, offsetof(tamis_nsa_compress_infer_params, weight)},
    {"slot_mapping", base::Type::kTensor, offsetof(tamis_nsa_compress_infer_params, slot_mapping)},
    {"block_table", base::Type::kTensor, offsetof(tamis_nsa_compress_infer_params, block_table)},
    {"cache", base::Type::kTensor, offsetof(tamis_nsa_compress_infer_params, cache)},
    {"act_seq_len", base::Type::kInts, offsetof(tamis_nsa_compress_infer_params, act_seq_len)},
    {"compress_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_infer_params, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(tamis_nsa_compress_infer_params, compress_stride)},
    {"page_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_infer_params, page_block_size)},
    {"actual_seq_qlen", base::Type::kInts, offsetof(tamis_nsa_compress_infer_params, actual_seq_qlen)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_compress_infer_params, strict)},
};
constexpr Typed kNsaCompressInfer = {"nsa_compress_infer", kNsaCompressInferMembers, sizeof(tamis_nsa_compress_infer_params)};

constexpr Member kNsaCompressAttentionMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, value)},
    {"atten_mask", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, atten_mask)},
    {"topk_mask", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, topk_mask)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, key_limits)},
    {"global_max", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, global_max)},
    {"global_sum", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, global_sum)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_nsa_compress_attention_params, scale_value)},
    {"head_num", base::Type::kInt, offsetof(tamis_nsa_compress_attention_params, head_num)},
    {"compress_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_attention_params, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(tamis_nsa_compress_attention_params, compress_stride)},
    {"select_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_attention_params, select_block_size)},
    {"select_block_count", base::Type::kInt, offsetof(tamis_nsa_compress_attention_params, select_block_count)},
    {"actual_seq_qlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_params, actual_seq_qlen)},
    {"actual_cmp_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_params, actual_cmp_seq_kvlen)},
    {"actual_sel_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_params, actual_sel_seq_kvlen)},
    {"causal", base::Type::kBool, offsetof(tamis_nsa_compress_attention_params, causal)},
    {"actual_raw_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_params, actual_raw_seq_kvlen)},
    {"importance", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_params, importance)},
    {"masked_rows", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_params, masked_rows)},
    {"selection", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_params, selection)},
    {"accuracy", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_params, accuracy)},
    {"out_dtype", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_params, out_dtype)},
    {"return_block_scores", base::Type::kBool, offsetof(tamis_nsa_compress_attention_params, return_block_scores)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_compress_attention_params, strict)},
    {"attention_out", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, attention_out)},
    {"topk_indices", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, topk_indices)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, softmax_sum)},
    {"block_scores", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_params, block_scores)},
};
constexpr Typed kNsaCompressAttention = {"nsa_compress_attention", kNsaCompressAttentionMembers, sizeof(tamis_nsa_compress_attention_params)};

constexpr Member kNsaCompressAttentionInferMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, value)},
    {"block_table", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, block_table)},
    {"atten_mask", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, atten_mask)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, key_limits)},
    {"global_max", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, global_max)},
    {"global_sum", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, global_sum)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_nsa_compress_attention_infer_params, scale_value)},
    {"head_num", base::Type::kInt, offsetof(tamis_nsa_compress_attention_infer_params, head_num)},
    {"key_value_head_num", base::Type::kInt, offsetof(tamis_nsa_compress_attention_infer_params, key_value_head_num)},
    {"select_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_attention_infer_params, select_block_size)},
    {"select_block_count", base::Type::kInt, offsetof(tamis_nsa_compress_attention_infer_params, select_block_count)},
    {"page_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_attention_infer_params, page_block_size)},
    {"compress_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_attention_infer_params, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(tamis_nsa_compress_attention_infer_params, compress_stride)},
    {"layout", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_infer_params, layout)},
    {"actual_seq_qlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_infer_params, actual_seq_qlen)},
    {"actual_cmp_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_infer_params, actual_cmp_seq_kvlen)},
    {"actual_sel_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_infer_params, actual_sel_seq_kvlen)},
    {"importance", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_infer_params, importance)},
    {"masked_rows", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_infer_params, masked_rows)},
    {"selection", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_infer_params, selection)},
    {"accuracy", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_infer_params, accuracy)},
    {"out_dtype", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_infer_params, out_dtype)},
    {"return_softmax_lse", base::Type::kBool, offsetof(tamis_nsa_compress_attention_infer_params, return_softmax_lse)},
    {"return_block_scores", base::Type::kBool, offsetof(tamis_nsa_compress_attention_infer_params, return_block_scores)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_compress_attention_infer_params, strict)},
    {"attention_out", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, attention_out)},
    {"topk_indices", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, topk_indices)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, softmax_sum)},
    {"block_scores", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_infer_params, block_scores)},
};
constexpr Typed kNsaCompressAttentionInfer = {"nsa_compress_attention_infer", kNsaCompressAttentionInferMembers, sizeof(tamis_nsa_compress_attention_infer_params)};

constexpr Member kNsaCompressAttentionGradMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, value)},
    {"attention_out_grad", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, attention_out_grad)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, softmax_sum)},
    {"atten_mask", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, atten_mask)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, key_limits)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_nsa_compress_attention_grad_params, scale_value)},
    {"head_num", base::Type::kInt, offsetof(tamis_nsa_compress_attention_grad_params, head_num)},
    {"actual_seq_qlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_grad_params, actual_seq_qlen)},
    {"actual_cmp_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_grad_params, actual_cmp_seq_kvlen)},
    {"causal", base::Type::kBool, offsetof(tamis_nsa_compress_attention_grad_params, causal)},
    {"compress_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_attention_grad_params, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(tamis_nsa_compress_attention_grad_params, compress_stride)},
    {"actual_raw_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_compress_attention_grad_params, actual_raw_seq_kvlen)},
    {"masked_rows", base::Type::kChoice, offsetof(tamis_nsa_compress_attention_grad_params, masked_rows)},
    {"return_query_grad", base::Type::kBool, offsetof(tamis_nsa_compress_attention_grad_params, return_query_grad)},
    {"return_key_grad", base::Type::kBool, offsetof(tamis_nsa_compress_attention_grad_params, return_key_grad)},
    {"return_value_grad", base::Type::kBool, offsetof(tamis_nsa_compress_attention_grad_params, return_value_grad)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_compress_attention_grad_params, strict)},
    {"query_grad", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, query_grad)},
    {"key_grad", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, key_grad)},
    {"value_grad", base::Type::kTensor, offsetof(tamis_nsa_compress_attention_grad_params, value_grad)},
};
constexpr Typed kNsaCompressAttentionGrad = {"nsa_compress_attention_grad", kNsaCompressAttentionGradMembers, sizeof(tamis_nsa_compress_attention_grad_params)};

constexpr Member kNsaSelectedAttentionMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_params, value)},
    {"topk_indices", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_params, topk_indices)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_nsa_selected_attention_params, scale_value)},
    {"head_num", base::Type::kInt, offsetof(tamis_nsa_selected_attention_params, head_num)},
    {"select_block_size", base::Type::kInt, offsetof(tamis_nsa_selected_attention_params, select_block_size)},
    {"select_block_count", base::Type::kInt, offsetof(tamis_nsa_selected_attention_params, select_block_count)},
    {"actual_seq_qlen", base::Type::kInts, offsetof(tamis_nsa_selected_attention_params, actual_seq_qlen)},
    {"actual_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_selected_attention_params, actual_seq_kvlen)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_nsa_selected_attention_params, sparse_mode)},
    {"accuracy", base::Type::kChoice, offsetof(tamis_nsa_selected_attention_params, accuracy)},
    {"out_dtype", base::Type::kChoice, offsetof(tamis_nsa_selected_attention_params, out_dtype)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_selected_attention_params, strict)},
    {"attention_out", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_params, attention_out)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_params, softmax_sum)},
};
constexpr Typed kNsaSelectedAttention = {"nsa_selected_attention", kNsaSelectedAttentionMembers, sizeof(tamis_nsa_selected_attention_params)};

constexpr Member kNsaSelectedAttentionInferMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, value)},
    {"topk_indices", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, topk_indices)},
    {"block_table", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, block_table)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_nsa_selected_attention_infer_params, scale_value)},
    {"head_num", base::Type::kInt, offsetof(tamis_nsa_selected_attention_infer_params, head_num)},
    {"key_value_head_num", base::Type::kInt, offsetof(tamis_nsa_selected_attention_infer_params, key_value_head_num)},
    {"select_block_size", base::Type::kInt, offsetof(tamis_nsa_selected_attention_infer_params, select_block_size)},
    {"select_block_count", base::Type::kInt, offsetof(tamis_nsa_selected_attention_infer_params, select_block_count)},
    {"page_block_size", base::Type::kInt, offsetof(tamis_nsa_selected_attention_infer_params, page_block_size)},
    {"layout", base::Type::kChoice, offsetof(tamis_nsa_selected_attention_infer_params, layout)},
    {"actual_seq_qlen", base::Type::kInts, offsetof(tamis_nsa_selected_attention_infer_params, actual_seq_qlen)},
    {"actual_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_selected_attention_infer_params, actual_seq_kvlen)},
    {"accuracy", base::Type::kChoice, offsetof(tamis_nsa_selected_attention_infer_params, accuracy)},
    {"out_dtype", base::Type::kChoice, offsetof(tamis_nsa_selected_attention_infer_params, out_dtype)},
    {"return_softmax_lse", base::Type::kBool, offsetof(tamis_nsa_selected_attention_infer_params, return_softmax_lse)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_selected_attention_infer_params, strict)},
    {"attention_out", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, attention_out)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_infer_params, softmax_sum)},
};
constexpr Typed kNsaSelectedAttentionInfer = {"nsa_selected_attention_infer", kNsaSelectedAttentionInferMembers, sizeof(tamis_nsa_selected_attention_infer_params)};

constexpr Member kNsaSelectedAttentionGradMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, value)},
    {"attention_out_grad", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, attention_out_grad)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, softmax_sum)},
    {"topk_indices", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, topk_indices)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_nsa_selected_attention_grad_params, scale_value)},
    {"head_num", base::Type::kInt, offsetof(tamis_nsa_selected_attention_grad_params, head_num)},
    {"select_block_size", base::Type::kInt, offsetof(tamis_nsa_selected_attention_grad_params, select_block_size)},
    {"select_block_count", base::Type::kInt, offsetof(tamis_nsa_selected_attention_grad_params, select_block_count)},
    {"actual_seq_qlen", base::Type::kInts, offsetof(tamis_nsa_selected_attention_grad_params, actual_seq_qlen)},
    {"actual_seq_kvlen", base::Type::kInts, offsetof(tamis_nsa_selected_attention_grad_params, actual_seq_kvlen)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_nsa_selected_attention_grad_params, sparse_mode)},
    {"return_query_grad", base::Type::kBool, offsetof(tamis_nsa_selected_attention_grad_params, return_query_grad)},
    {"return_key_grad", base::Type::kBool, offsetof(tamis_nsa_selected_attention_grad_params, return_key_grad)},
    {"return_value_grad", base::Type::kBool, offsetof(tamis_nsa_selected_attention_grad_params, return_value_grad)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_selected_attention_grad_params, strict)},
    {"query_grad", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, query_grad)},
    {"key_grad", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, key_grad)},
    {"value_grad", base::Type::kTensor, offsetof(tamis_nsa_selected_attention_grad_params, value_grad)},
};
constexpr Typed kNsaSelectedAttentionGrad = {"nsa_selected_attention_grad", kNsaSelectedAttentionGradMembers, sizeof(tamis_nsa_selected_attention_grad_params)};

constexpr Member kSlidingWindowAttentionMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, value)},
    {"block_table", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, block_table)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_kv", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, actual_seq_lengths_kv)},
    {"key_starts", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, key_starts)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, key_limits)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_sliding_window_attention_params, scale_value)},
    {"window_size", base::Type::kInt, offsetof(tamis_sliding_window_attention_params, window_size)},
    {"layout_query", base::Type::kChoice, offsetof(tamis_sliding_window_attention_params, layout_query)},
    {"layout_kv", base::Type::kChoice, offsetof(tamis_sliding_window_attention_params, layout_kv)},
    {"out_dtype", base::Type::kChoice, offsetof(tamis_sliding_window_attention_params, out_dtype)},
    {"strict", base::Type::kBool, offsetof(tamis_sliding_window_attention_params, strict)},
    {"attention_out", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, attention_out)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_sliding_window_attention_params, softmax_sum)},
};
constexpr Typed kSlidingWindowAttention = {"sliding_window_attention", kSlidingWindowAttentionMembers, sizeof(tamis_sliding_window_attention_params)};

constexpr Member kSlidingWindowAttentionGradMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, key)},
    {"value", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, value)},
    {"attention_out_grad", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, attention_out_grad)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, softmax_sum)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_kv", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, actual_seq_lengths_kv)},
    {"key_starts", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, key_starts)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, key_limits)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_sliding_window_attention_grad_params, scale_value)},
    {"window_size", base::Type::kInt, offsetof(tamis_sliding_window_attention_grad_params, window_size)},
    {"layout_query", base::Type::kChoice, offsetof(tamis_sliding_window_attention_grad_params, layout_query)},
    {"layout_kv", base::Type::kChoice, offsetof(tamis_sliding_window_attention_grad_params, layout_kv)},
    {"return_query_grad", base::Type::kBool, offsetof(tamis_sliding_window_attention_grad_params, return_query_grad)},
    {"return_key_grad", base::Type::kBool, offsetof(tamis_sliding_window_attention_grad_params, return_key_grad)},
    {"return_value_grad", base::Type::kBool, offsetof(tamis_sliding_window_attention_grad_params, return_value_grad)},
    {"strict", base::Type::kBool, offsetof(tamis_sliding_window_attention_grad_params, strict)},
    {"query_grad", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, query_grad)},
    {"key_grad", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, key_grad)},
    {"value_grad", base::Type::kTensor, offsetof(tamis_sliding_window_attention_grad_params, value_grad)},
};
constexpr Typed kSlidingWindowAttentionGrad = {"sliding_window_attention_grad", kSlidingWindowAttentionGradMembers, sizeof(tamis_sliding_window_attention_grad_params)};

constexpr Member kMlaPrologMembers[] = {
    {"x", base::Type::kTensor, offsetof(tamis_mla_prolog_params, x)},
    {"query_source", base::Type::kTensor, offsetof(tamis_mla_prolog_params, query_source)},
    {"w_dq", base::Type::kTensor, offsetof(tamis_mla_prolog_params, w_dq)},
    {"w_uq_qr", base::Type::kTensor, offsetof(tamis_mla_prolog_params, w_uq_qr)},
    {"w_uk", base::Type::kTensor, offsetof(tamis_mla_prolog_params, w_uk)},
    {"w_dkv_kr", base::Type::kTensor, offsetof(tamis_mla_prolog_params, w_dkv_kr)},
    {"bias_dq", base::Type::kTensor, offsetof(tamis_mla_prolog_params, bias_dq)},
    {"bias_dkv_kr", base::Type::kTensor, offsetof(tamis_mla_prolog_params, bias_dkv_kr)},
    {"gamma_cq", base::Type::kTensor, offsetof(tamis_mla_prolog_params, gamma_cq)},
    {"gamma_ckv", base::Type::kTensor, offsetof(tamis_mla_prolog_params, gamma_ckv)},
    {"gamma_kr", base::Type::kTensor, offsetof(tamis_mla_prolog_params, gamma_kr)},
    {"sin", base::Type::kTensor, offsetof(tamis_mla_prolog_params, sin)},
    {"cos", base::Type::kTensor, offsetof(tamis_mla_prolog_params, cos)},
    {"cache_index", base::Type::kTensor, offsetof(tamis_mla_prolog_params, cache_index)},
    {"kv_cache", base::Type::kTensor, offsetof(tamis_mla_prolog_params, kv_cache)},
    {"kr_cache", base::Type::kTensor, offsetof(tamis_mla_prolog_params, kr_cache)},
    {"epsilon_cq", base::Type::kFloat, offsetof(tamis_mla_prolog_params, epsilon_cq)},
    {"epsilon_ckv", base::Type::kFloat, offsetof(tamis_mla_prolog_params, epsilon_ckv)},
    {"epsilon_kr", base::Type::kFloat, offsetof(tamis_mla_prolog_params, epsilon_kr)},
    {"rope_interleaved", base::Type::kBool, offsetof(tamis_mla_prolog_params, rope_interleaved)},
    {"weight_format", base::Type::kChoice, offsetof(tamis_mla_prolog_params, weight_format)},
    {"strict", base::Type::kBool, offsetof(tamis_mla_prolog_params, strict)},
    {"query", base::Type::kTensor, offsetof(tamis_mla_prolog_params, query)},
    {"query_rope", base::Type::kTensor, offsetof(tamis_mla_prolog_params, query_rope)},
    {"query_norm", base::Type::kTensor, offsetof(tamis_mla_prolog_params, query_norm)},
};
constexpr Typed kMlaProlog = {"mla_prolog", kMlaPrologMembers, sizeof(tamis_mla_prolog_params)};

constexpr Member kIndexerPrologMembers[] = {
    {"x", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, x)},
    {"query_norm", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, query_norm)},
    {"w_idx_qb", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, w_idx_qb)},
    {"w_idx_k", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, w_idx_k)},
    {"w_idx_proj", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, w_idx_proj)},
    {"in_gamma_k", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, in_gamma_k)},
    {"in_beta_k", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, in_beta_k)},
    {"sin", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, sin)},
    {"cos", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, cos)},
    {"cache_index", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, cache_index)},
    {"index_k_cache", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, index_k_cache)},
    {"index_k_shadow", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, index_k_shadow)},
    {"epsilon", base::Type::kFloat, offsetof(tamis_indexer_prolog_params, epsilon)},
    {"rope_interleaved", base::Type::kBool, offsetof(tamis_indexer_prolog_params, rope_interleaved)},
    {"rope_last", base::Type::kBool, offsetof(tamis_indexer_prolog_params, rope_last)},
    {"weight_format", base::Type::kChoice, offsetof(tamis_indexer_prolog_params, weight_format)},
    {"strict", base::Type::kBool, offsetof(tamis_indexer_prolog_params, strict)},
    {"query", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, query)},
    {"weights", base::Type::kTensor, offsetof(tamis_indexer_prolog_params, weights)},
};
constexpr Typed kIndexerProlog = {"indexer_prolog", kIndexerPrologMembers, sizeof(tamis_indexer_prolog_params)};

constexpr Member kNdToNzMembers[] = {
    {"weight", base::Type::kTensor, offsetof(tamis_nd_to_nz_params, weight)},
    {"strict", base::Type::kBool, offsetof(tamis_nd_to_nz_params, strict)},
    {"output", base::Type::kTensor, offsetof(tamis_nd_to_nz_params, output)},
};
constexpr Typed kNdToNz = {"nd_to_nz", kNdToNzMembers, sizeof(tamis_nd_to_nz_params)};

constexpr Member kNzToNdMembers[] = {
    {"weight", base::Type::kTensor, offsetof(tamis_nz_to_nd_params, weight)},
    {"strict", base::Type::kBool, offsetof(tamis_nz_to_nd_params, strict)},
    {"output", base::Type::kTensor, offsetof(tamis_nz_to_nd_params, output)},
};
constexpr Typed kNzToNd = {"nz_to_nd", kNzToNdMembers, sizeof(tamis_nz_to_nd_params)};

constexpr Member kQuantizeIndexKeysMembers[] = {
    {"key", base::Type::kTensor, offsetof(tamis_quantize_index_keys_params, key)},
    {"layout_key", base::Type::kChoice, offsetof(tamis_quantize_index_keys_params, layout_key)},
    {"strict", base::Type::kBool, offsetof(tamis_quantize_index_keys_params, strict)},
    {"key_shadow", base::Type::kTensor, offsetof(tamis_quantize_index_keys_params, key_shadow)},
};
constexpr Typed kQuantizeIndexKeys = {"quantize_index_keys", kQuantizeIndexKeysMembers, sizeof(tamis_quantize_index_keys_params)};

constexpr Member kLightningIndexerMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, key)},
    {"weights", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, weights)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_key", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, actual_seq_lengths_key)},
    {"block_table", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, block_table)},
    {"key_shadow", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, key_shadow)},
    {"key_starts", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, key_starts)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, key_limits)},
    {"actual_seq_lengths_tokens", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, actual_seq_lengths_tokens)},
    {"layout_query", base::Type::kChoice, offsetof(tamis_lightning_indexer_params, layout_query)},
    {"layout_key", base::Type::kChoice, offsetof(tamis_lightning_indexer_params, layout_key)},
    {"sparse_count", base::Type::kInt, offsetof(tamis_lightning_indexer_params, sparse_count)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_lightning_indexer_params, sparse_mode)},
    {"compress_ratio", base::Type::kInt, offsetof(tamis_lightning_indexer_params, compress_ratio)},
    {"return_value", base::Type::kBool, offsetof(tamis_lightning_indexer_params, return_value)},
    {"value_dtype", base::Type::kChoice, offsetof(tamis_lightning_indexer_params, value_dtype)},
    {"pruning", base::Type::kChoice, offsetof(tamis_lightning_indexer_params, pruning)},
    {"strict", base::Type::kBool, offsetof(tamis_lightning_indexer_params, strict)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, sparse_indices)},
    {"sparse_values", base::Type::kTensor, offsetof(tamis_lightning_indexer_params, sparse_values)},
};
constexpr Typed kLightningIndexer = {"lightning_indexer", kLightningIndexerMembers, sizeof(tamis_lightning_indexer_params)};

constexpr Member kLightningIndexerGradMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, key)},
    {"sparse_values_grad", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, sparse_values_grad)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, sparse_indices)},
    {"weights", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, weights)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_key", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, actual_seq_lengths_key)},
    {"key_starts", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, key_starts)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, key_limits)},
    {"actual_seq_lengths_tokens", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, actual_seq_lengths_tokens)},
    {"layout_query", base::Type::kChoice, offsetof(tamis_lightning_indexer_grad_params, layout_query)},
    {"layout_key", base::Type::kChoice, offsetof(tamis_lightning_indexer_grad_params, layout_key)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_lightning_indexer_grad_params, sparse_mode)},
    {"compress_ratio", base::Type::kInt, offsetof(tamis_lightning_indexer_grad_params, compress_ratio)},
    {"return_query_grad", base::Type::kBool, offsetof(tamis_lightning_indexer_grad_params, return_query_grad)},
    {"return_key_grad", base::Type::kBool, offsetof(tamis_lightning_indexer_grad_params, return_key_grad)},
    {"return_weights_grad", base::Type::kBool, offsetof(tamis_lightning_indexer_grad_params, return_weights_grad)},
    {"strict", base::Type::kBool, offsetof(tamis_lightning_indexer_grad_params, strict)},
    {"query_grad", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, query_grad)},
    {"key_grad", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, key_grad)},
    {"weights_grad", base::Type::kTensor, offsetof(tamis_lightning_indexer_grad_params, weights_grad)},
};
constexpr Typed kLightningIndexerGrad = {"lightning_indexer_grad", kLightningIndexerGradMembers, sizeof(tamis_lightning_indexer_grad_params)};

constexpr Member kDenseLightningIndexerSoftmaxLseMembers[] = {
    {"query_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, query_index)},
    {"key_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, key_index)},
    {"weights", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, weights)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_key", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, actual_seq_lengths_key)},
    {"layout", base::Type::kChoice, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, layout)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, sparse_mode)},
    {"strict", base::Type::kBool, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, strict)},
    {"softmax_max_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, softmax_max_index)},
    {"softmax_sum_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_softmax_lse_params, softmax_sum_index)},
};
constexpr Typed kDenseLightningIndexerSoftmaxLse = {"dense_lightning_indexer_softmax_lse", kDenseLightningIndexerSoftmaxLseMembers, sizeof(tamis_dense_lightning_indexer_softmax_lse_params)};

constexpr Member kDenseLightningIndexerGradKlLossMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, key)},
    {"query_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, query_index)},
    {"key_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, key_index)},
    {"weights", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, weights)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, softmax_sum)},
    {"softmax_max_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, softmax_max_index)},
    {"softmax_sum_index", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, softmax_sum_index)},
    {"query_rope", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, query_rope)},
    {"key_rope", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, key_rope)},
    {"row_scale", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, row_scale)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_key", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, actual_seq_lengths_key)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, scale_value)},
    {"layout", base::Type::kChoice, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, layout)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, sparse_mode)},
    {"return_query_index_grad", base::Type::kBool, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, return_query_index_grad)},
    {"return_key_index_grad", base::Type::kBool, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, return_key_index_grad)},
    {"return_weights_grad", base::Type::kBool, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, return_weights_grad)},
    {"return_row_loss", base::Type::kBool, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, return_row_loss)},
    {"strict", base::Type::kBool, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, strict)},
    {"loss", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, loss)},
    {"query_index_grad", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, query_index_grad)},
    {"key_index_grad", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, key_index_grad)},
    {"weights_grad", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, weights_grad)},
    {"row_loss", base::Type::kTensor, offsetof(tamis_dense_lightning_indexer_grad_kl_loss_params, row_loss)},
};
constexpr Typed kDenseLightningIndexerGradKlLoss = {"dense_lightning_indexer_grad_kl_loss", kDenseLightningIndexerGradKlLossMembers, sizeof(tamis_dense_lightning_indexer_grad_kl_loss_params)};

constexpr Member kSparseLightningIndexerGradKlLossMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, key)},
    {"query_index", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, query_index)},
    {"key_index", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, key_index)},
    {"weights", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, weights)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, sparse_indices)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, softmax_sum)},
    {"query_rope", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, query_rope)},
    {"key_rope", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, key_rope)},
    {"sinks", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, sinks)},
    {"row_scale", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, row_scale)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_key", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, actual_seq_lengths_key)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, scale_value)},
    {"layout", base::Type::kChoice, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, layout)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, sparse_mode)},
    {"return_query_index_grad", base::Type::kBool, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, return_query_index_grad)},
    {"return_key_index_grad", base::Type::kBool, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, return_key_index_grad)},
    {"return_weights_grad", base::Type::kBool, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, return_weights_grad)},
    {"return_row_loss", base::Type::kBool, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, return_row_loss)},
    {"strict", base::Type::kBool, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, strict)},
    {"loss", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, loss)},
    {"query_index_grad", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, query_index_grad)},
    {"key_index_grad", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, key_index_grad)},
    {"weights_grad", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, weights_grad)},
    {"row_loss", base::Type::kTensor, offsetof(tamis_sparse_lightning_indexer_grad_kl_loss_params, row_loss)},
};
constexpr Typed kSparseLightningIndexerGradKlLoss = {"sparse_lightning_indexer_grad_kl_loss", kSparseLightningIndexerGradKlLossMembers, sizeof(tamis_sparse_lightning_indexer_grad_kl_loss_params)};

constexpr Member kSparseFlashAttentionMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, key)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, sparse_indices)},
    {"value", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, value)},
    {"block_table", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, block_table)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_kv", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, actual_seq_lengths_kv)},
    {"query_rope", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, query_rope)},
    {"key_rope", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, key_rope)},
    {"sinks", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, sinks)},
    {"key_starts", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, key_starts)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, key_limits)},
    {"actual_seq_lengths_tokens", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, actual_seq_lengths_tokens)},
    {"window_key", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, window_key)},
    {"window_key_rope", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, window_key_rope)},
    {"window_value", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, window_value)},
    {"window_block_table", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, window_block_table)},
    {"actual_seq_lengths_window", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, actual_seq_lengths_window)},
    {"window_starts", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, window_starts)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_sparse_flash_attention_params, scale_value)},
    {"sparse_block_size", base::Type::kInt, offsetof(tamis_sparse_flash_attention_params, sparse_block_size)},
    {"layout_query", base::Type::kChoice, offsetof(tamis_sparse_flash_attention_params, layout_query)},
    {"layout_kv", base::Type::kChoice, offsetof(tamis_sparse_flash_attention_params, layout_kv)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_sparse_flash_attention_params, sparse_mode)},
    {"compress_ratio", base::Type::kInt, offsetof(tamis_sparse_flash_attention_params, compress_ratio)},
    {"window_size", base::Type::kInt, offsetof(tamis_sparse_flash_attention_params, window_size)},
    {"return_softmax_lse", base::Type::kBool, offsetof(tamis_sparse_flash_attention_params, return_softmax_lse)},
    {"kv_format", base::Type::kChoice, offsetof(tamis_sparse_flash_attention_params, kv_format)},
    {"accuracy", base::Type::kChoice, offsetof(tamis_sparse_flash_attention_params, accuracy)},
    {"out_dtype", base::Type::kChoice, offsetof(tamis_sparse_flash_attention_params, out_dtype)},
    {"strict", base::Type::kBool, offsetof(tamis_sparse_flash_attention_params, strict)},
    {"out", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, out)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_params, softmax_sum)},
};
constexpr Typed kSparseFlashAttention = {"sparse_flash_attention", kSparseFlashAttentionMembers, sizeof(tamis_sparse_flash_attention_params)};

constexpr Member kSparseFlashAttentionGradMembers[] = {
    {"query", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, query)},
    {"key", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, key)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, sparse_indices)},
    {"out_grad", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, out_grad)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, softmax_sum)},
    {"value", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, value)},
    {"actual_seq_lengths_query", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, actual_seq_lengths_query)},
    {"actual_seq_lengths_kv", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, actual_seq_lengths_kv)},
    {"query_rope", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, query_rope)},
    {"key_rope", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, key_rope)},
    {"sinks", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, sinks)},
    {"key_starts", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, key_starts)},
    {"key_limits", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, key_limits)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_sparse_flash_attention_grad_params, scale_value)},
    {"sparse_block_size", base::Type::kInt, offsetof(tamis_sparse_flash_attention_grad_params, sparse_block_size)},
    {"layout_query", base::Type::kChoice, offsetof(tamis_sparse_flash_attention_grad_params, layout_query)},
    {"layout_kv", base::Type::kChoice, offsetof(tamis_sparse_flash_attention_grad_params, layout_kv)},
    {"sparse_mode", base::Type::kInt, offsetof(tamis_sparse_flash_attention_grad_params, sparse_mode)},
    {"return_query_grad", base::Type::kBool, offsetof(tamis_sparse_flash_attention_grad_params, return_query_grad)},
    {"return_key_grad", base::Type::kBool, offsetof(tamis_sparse_flash_attention_grad_params, return_key_grad)},
    {"return_value_grad", base::Type::kBool, offsetof(tamis_sparse_flash_attention_grad_params, return_value_grad)},
    {"return_query_rope_grad", base::Type::kBool, offsetof(tamis_sparse_flash_attention_grad_params, return_query_rope_grad)},
    {"return_key_rope_grad", base::Type::kBool, offsetof(tamis_sparse_flash_attention_grad_params, return_key_rope_grad)},
    {"return_sinks_grad", base::Type::kBool, offsetof(tamis_sparse_flash_attention_grad_params, return_sinks_grad)},
    {"strict", base::Type::kBool, offsetof(tamis_sparse_flash_attention_grad_params, strict)},
    {"query_grad", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, query_grad)},
    {"key_grad", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, key_grad)},
    {"value_grad", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, value_grad)},
    {"query_rope_grad", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, query_rope_grad)},
    {"key_rope_grad", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, key_rope_grad)},
    {"sinks_grad", base::Type::kTensor, offsetof(tamis_sparse_flash_attention_grad_params, sinks_grad)},
};
constexpr Typed kSparseFlashAttentionGrad = {"sparse_flash_attention_grad", kSparseFlashAttentionGradMembers, sizeof(tamis_sparse_flash_attention_grad_params)};

constexpr Member kSparseAttentionPtoMembers[] = {
    {"x", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, x)},
    {"w_dq", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, w_dq)},
    {"w_uq_qr", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, w_uq_qr)},
    {"w_uk", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, w_uk)},
    {"w_dkv_kr", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, w_dkv_kr)},
    {"gamma_cq", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, gamma_cq)},
    {"gamma_ckv", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, gamma_ckv)},
    {"sin", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, sin)},
    {"cos", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, cos)},
    {"cache_index", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, cache_index)},
    {"kv_cache", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, kv_cache)},
    {"kr_cache", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, kr_cache)},
    {"block_table", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, block_table)},
    {"act_seqs", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, act_seqs)},
    {"w_idx_qb", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, w_idx_qb)},
    {"w_idx_k", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, w_idx_k)},
    {"w_idx_proj", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, w_idx_proj)},
    {"in_gamma_k", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, in_gamma_k)},
    {"in_beta_k", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, in_beta_k)},
    {"index_k_cache", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, index_k_cache)},
    {"scale_value", base::Type::kFloat, offsetof(tamis_sparse_attention_pto_params, scale_value)},
    {"epsilon_cq", base::Type::kFloat, offsetof(tamis_sparse_attention_pto_params, epsilon_cq)},
    {"epsilon_ckv", base::Type::kFloat, offsetof(tamis_sparse_attention_pto_params, epsilon_ckv)},
    {"epsilon_k", base::Type::kFloat, offsetof(tamis_sparse_attention_pto_params, epsilon_k)},
    {"rope_interleaved", base::Type::kBool, offsetof(tamis_sparse_attention_pto_params, rope_interleaved)},
    {"sparse_count", base::Type::kInt, offsetof(tamis_sparse_attention_pto_params, sparse_count)},
    {"weight_format", base::Type::kChoice, offsetof(tamis_sparse_attention_pto_params, weight_format)},
    {"accuracy", base::Type::kChoice, offsetof(tamis_sparse_attention_pto_params, accuracy)},
    {"strict", base::Type::kBool, offsetof(tamis_sparse_attention_pto_params, strict)},
    {"out", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, out)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_sparse_attention_pto_params, sparse_indices)},
};
constexpr Typed kSparseAttentionPto = {"sparse_attention_pto", kSparseAttentionPtoMembers, sizeof(tamis_sparse_attention_pto_params)};

constexpr Member kPackKvRowsMembers[] = {
    {"latent", base::Type::kTensor, offsetof(tamis_pack_kv_rows_params, latent)},
    {"rope", base::Type::kTensor, offsetof(tamis_pack_kv_rows_params, rope)},
    {"kv_format", base::Type::kChoice, offsetof(tamis_pack_kv_rows_params, kv_format)},
    {"strict", base::Type::kBool, offsetof(tamis_pack_kv_rows_params, strict)},
    {"rows", base::Type::kTensor, offsetof(tamis_pack_kv_rows_params, rows)},
};
constexpr Typed kPackKvRows = {"pack_kv_rows", kPackKvRowsMembers, sizeof(tamis_pack_kv_rows_params)};

constexpr Member kUnpackKvRowsMembers[] = {
    {"rows", base::Type::kTensor, offsetof(tamis_unpack_kv_rows_params, rows)},
    {"rope_dim", base::Type::kInt, offsetof(tamis_unpack_kv_rows_params, rope_dim)},
    {"kv_format", base::Type::kChoice, offsetof(tamis_unpack_kv_rows_params, kv_format)},
    {"dtype", base::Type::kChoice, offsetof(tamis_unpack_kv_rows_params, dtype)},
    {"strict", base::Type::kBool, offsetof(tamis_unpack_kv_rows_params, strict)},
    {"latent", base::Type::kTensor, offsetof(tamis_unpack_kv_rows_params, latent)},
    {"rope", base::Type::kTensor, offsetof(tamis_unpack_kv_rows_params, rope)},
};
constexpr Typed kUnpackKvRows = {"unpack_kv_rows", kUnpackKvRowsMembers, sizeof(tamis_unpack_kv_rows_params)};

constexpr Member kMergeAttentionStatesMembers[] = {
    {"outs", base::Type::kTensor, offsetof(tamis_merge_attention_states_params, outs)},
    {"softmax_maxes", base::Type::kTensor, offsetof(tamis_merge_attention_states_params, softmax_maxes)},
    {"softmax_sums", base::Type::kTensor, offsetof(tamis_merge_attention_states_params, softmax_sums)},
    {"out_dtype", base::Type::kChoice, offsetof(tamis_merge_attention_states_params, out_dtype)},
    {"strict", base::Type::kBool, offsetof(tamis_merge_attention_states_params, strict)},
    {"out", base::Type::kTensor, offsetof(tamis_merge_attention_states_params, out)},
    {"softmax_max", base::Type::kTensor, offsetof(tamis_merge_attention_states_params, softmax_max)},
    {"softmax_sum", base::Type::kTensor, offsetof(tamis_merge_attention_states_params, softmax_sum)},
};
constexpr Typed kMergeAttentionStates = {"merge_attention_states", kMergeAttentionStatesMembers, sizeof(tamis_merge_attention_states_params)};

constexpr Member kMergeTopkMembers[] = {
    {"values", base::Type::kTensor, offsetof(tamis_merge_topk_params, values)},
    {"indices", base::Type::kTensor, offsetof(tamis_merge_topk_params, indices)},
    {"sparse_count", base::Type::kInt, offsetof(tamis_merge_topk_params, sparse_count)},
    {"strict", base::Type::kBool, offsetof(tamis_merge_topk_params, strict)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_merge_topk_params, sparse_indices)},
    {"sparse_values", base::Type::kTensor, offsetof(tamis_merge_topk_params, sparse_values)},
};
constexpr Typed kMergeTopk = {"merge_topk", kMergeTopkMembers, sizeof(tamis_merge_topk_params)};

constexpr Member kLocalizeIndicesMembers[] = {
    {"indices", base::Type::kTensor, offsetof(tamis_localize_indices_params, indices)},
    {"rank", base::Type::kInt, offsetof(tamis_localize_indices_params, rank)},
    {"world", base::Type::kInt, offsetof(tamis_localize_indices_params, world)},
    {"interleave", base::Type::kInt, offsetof(tamis_localize_indices_params, interleave)},
    {"ranks", base::Type::kInt, offsetof(tamis_localize_indices_params, ranks)},
    {"strict", base::Type::kBool, offsetof(tamis_localize_indices_params, strict)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_localize_indices_params, sparse_indices)},
    {"counts", base::Type::kTensor, offsetof(tamis_localize_indices_params, counts)},
};
constexpr Typed kLocalizeIndices = {"localize_indices", kLocalizeIndicesMembers, sizeof(tamis_localize_indices_params)};

constexpr Member kGlobalizeIndicesMembers[] = {
    {"indices", base::Type::kTensor, offsetof(tamis_globalize_indices_params, indices)},
    {"rank", base::Type::kInt, offsetof(tamis_globalize_indices_params, rank)},
    {"world", base::Type::kInt, offsetof(tamis_globalize_indices_params, world)},
    {"interleave", base::Type::kInt, offsetof(tamis_globalize_indices_params, interleave)},
    {"ranks", base::Type::kInt, offsetof(tamis_globalize_indices_params, ranks)},
    {"strict", base::Type::kBool, offsetof(tamis_globalize_indices_params, strict)},
    {"sparse_indices", base::Type::kTensor, offsetof(tamis_globalize_indices_params, sparse_indices)},
};
constexpr Typed kGlobalizeIndices = {"globalize_indices", kGlobalizeIndicesMembers, sizeof(tamis_globalize_indices_params)};

}  // namespace

std::span<const Typed> AllTyped() {
  static constexpr Typed kAll[] = {kNsaCompress, kNsaCompressGrad, kNsaCompressInfer, kNsaCompressAttention, kNsaCompressAttentionInfer, kNsaCompressAttentionGrad, kNsaSelectedAttention, kNsaSelectedAttentionInfer, kNsaSelectedAttentionGrad, kSlidingWindowAttention, kSlidingWindowAttentionGrad, kMlaProlog, kIndexerProlog, kNdToNz, kNzToNd, kQuantizeIndexKeys, kLightningIndexer, kLightningIndexerGrad, kDenseLightningIndexerSoftmaxLse, kDenseLightningIndexerGradKlLoss, kSparseLightningIndexerGradKlLoss, kSparseFlashAttention, kSparseFlashAttentionGrad, kSparseAttentionPto, kPackKvRows, kUnpackKvRows, kMergeAttentionStates, kMergeTopk, kLocalizeIndices, kGlobalizeIndices};
  return kAll;
}

}  // namespace tamis::capi

extern "C" {

tamis_status tamis_nsa_compress_params_init_sized(
    tamis_nsa_compress_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaCompress, params, struct_size);
}

tamis_status tamis_nsa_compress_plan(
    const tamis_context* context, const tamis_nsa_compress_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaCompress, context, params, plan);
}

tamis_status tamis_nsa_compress_run(
    const tamis_plan* plan, const tamis_nsa_compress_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaCompress, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_compress_renew(
    tamis_plan* plan, const tamis_nsa_compress_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaCompress, plan, params);
}

tamis_status tamis_nsa_compress_grad_params_init_sized(
    tamis_nsa_compress_grad_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaCompressGrad, params, struct_size);
}

tamis_status tamis_nsa_compress_grad_plan(
    const tamis_context* context, const tamis_nsa_compress_grad_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaCompressGrad, context, params, plan);
}

tamis_status tamis_nsa_compress_grad_run(
    const tamis_plan* plan, const tamis_nsa_compress_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaCompressGrad, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_compress_grad_renew(
    tamis_plan* plan, const tamis_nsa_compress_grad_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaCompressGrad, plan, params);
}

tamis_status tamis_nsa_compress_infer_params_init_sized(
    tamis_nsa_compress_infer_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaCompressInfer, params, struct_size);
}

tamis_status tamis_nsa_compress_infer_plan(
    const tamis_context* context, const tamis_nsa_compress_infer_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaCompressInfer, context, params, plan);
}

tamis_status tamis_nsa_compress_infer_run(
    const tamis_plan* plan, const tamis_nsa_compress_infer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaCompressInfer, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_compress_infer_renew(
    tamis_plan* plan, const tamis_nsa_compress_infer_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaCompressInfer, plan, params);
}

tamis_status tamis_nsa_compress_attention_params_init_sized(
    tamis_nsa_compress_attention_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaCompressAttention, params, struct_size);
}

tamis_status tamis_nsa_compress_attention_plan(
    const tamis_context* context, const tamis_nsa_compress_attention_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaCompressAttention, context, params, plan);
}

tamis_status tamis_nsa_compress_attention_run(
    const tamis_plan* plan, const tamis_nsa_compress_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaCompressAttention, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_compress_attention_renew(
    tamis_plan* plan, const tamis_nsa_compress_attention_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaCompressAttention, plan, params);
}

tamis_status tamis_nsa_compress_attention_infer_params_init_sized(
    tamis_nsa_compress_attention_infer_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaCompressAttentionInfer, params, struct_size);
}

tamis_status tamis_nsa_compress_attention_infer_plan(
    const tamis_context* context, const tamis_nsa_compress_attention_infer_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaCompressAttentionInfer, context, params, plan);
}

tamis_status tamis_nsa_compress_attention_infer_run(
    const tamis_plan* plan, const tamis_nsa_compress_attention_infer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaCompressAttentionInfer, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_compress_attention_infer_renew(
    tamis_plan* plan, const tamis_nsa_compress_attention_infer_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaCompressAttentionInfer, plan, params);
}

tamis_status tamis_nsa_compress_attention_grad_params_init_sized(
    tamis_nsa_compress_attention_grad_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaCompressAttentionGrad, params, struct_size);
}

tamis_status tamis_nsa_compress_attention_grad_plan(
    const tamis_context* context, const tamis_nsa_compress_attention_grad_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaCompressAttentionGrad, context, params, plan);
}

tamis_status tamis_nsa_compress_attention_grad_run(
    const tamis_plan* plan, const tamis_nsa_compress_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaCompressAttentionGrad, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_compress_attention_grad_renew(
    tamis_plan* plan, const tamis_nsa_compress_attention_grad_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaCompressAttentionGrad, plan, params);
}

tamis_status tamis_nsa_selected_attention_params_init_sized(
    tamis_nsa_selected_attention_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaSelectedAttention, params, struct_size);
}

tamis_status tamis_nsa_selected_attention_plan(
    const tamis_context* context, const tamis_nsa_selected_attention_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaSelectedAttention, context, params, plan);
}

tamis_status tamis_nsa_selected_attention_run(
    const tamis_plan* plan, const tamis_nsa_selected_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaSelectedAttention, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_selected_attention_renew(
    tamis_plan* plan, const tamis_nsa_selected_attention_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaSelectedAttention, plan, params);
}

tamis_status tamis_nsa_selected_attention_infer_params_init_sized(
    tamis_nsa_selected_attention_infer_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaSelectedAttentionInfer, params, struct_size);
}

tamis_status tamis_nsa_selected_attention_infer_plan(
    const tamis_context* context, const tamis_nsa_selected_attention_infer_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaSelectedAttentionInfer, context, params, plan);
}

tamis_status tamis_nsa_selected_attention_infer_run(
    const tamis_plan* plan, const tamis_nsa_selected_attention_infer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaSelectedAttentionInfer, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_selected_attention_infer_renew(
    tamis_plan* plan, const tamis_nsa_selected_attention_infer_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaSelectedAttentionInfer, plan, params);
}

tamis_status tamis_nsa_selected_attention_grad_params_init_sized(
    tamis_nsa_selected_attention_grad_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaSelectedAttentionGrad, params, struct_size);
}

tamis_status tamis_nsa_selected_attention_grad_plan(
    const tamis_context* context, const tamis_nsa_selected_attention_grad_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaSelectedAttentionGrad, context, params, plan);
}

tamis_status tamis_nsa_selected_attention_grad_run(
    const tamis_plan* plan, const tamis_nsa_selected_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNsaSelectedAttentionGrad, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nsa_selected_attention_grad_renew(
    tamis_plan* plan, const tamis_nsa_selected_attention_grad_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNsaSelectedAttentionGrad, plan, params);
}

tamis_status tamis_sliding_window_attention_params_init_sized(
    tamis_sliding_window_attention_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kSlidingWindowAttention, params, struct_size);
}

tamis_status tamis_sliding_window_attention_plan(
    const tamis_context* context, const tamis_sliding_window_attention_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kSlidingWindowAttention, context, params, plan);
}

tamis_status tamis_sliding_window_attention_run(
    const tamis_plan* plan, const tamis_sliding_window_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kSlidingWindowAttention, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_sliding_window_attention_renew(
    tamis_plan* plan, const tamis_sliding_window_attention_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kSlidingWindowAttention, plan, params);
}

tamis_status tamis_sliding_window_attention_grad_params_init_sized(
    tamis_sliding_window_attention_grad_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kSlidingWindowAttentionGrad, params, struct_size);
}

tamis_status tamis_sliding_window_attention_grad_plan(
    const tamis_context* context, const tamis_sliding_window_attention_grad_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kSlidingWindowAttentionGrad, context, params, plan);
}

tamis_status tamis_sliding_window_attention_grad_run(
    const tamis_plan* plan, const tamis_sliding_window_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kSlidingWindowAttentionGrad, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_sliding_window_attention_grad_renew(
    tamis_plan* plan, const tamis_sliding_window_attention_grad_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kSlidingWindowAttentionGrad, plan, params);
}

tamis_status tamis_mla_prolog_params_init_sized(
    tamis_mla_prolog_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kMlaProlog, params, struct_size);
}

tamis_status tamis_mla_prolog_plan(
    const tamis_context* context, const tamis_mla_prolog_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kMlaProlog, context, params, plan);
}

tamis_status tamis_mla_prolog_run(
    const tamis_plan* plan, const tamis_mla_prolog_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kMlaProlog, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_mla_prolog_renew(
    tamis_plan* plan, const tamis_mla_prolog_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kMlaProlog, plan, params);
}

tamis_status tamis_indexer_prolog_params_init_sized(
    tamis_indexer_prolog_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kIndexerProlog, params, struct_size);
}

tamis_status tamis_indexer_prolog_plan(
    const tamis_context* context, const tamis_indexer_prolog_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kIndexerProlog, context, params, plan);
}

tamis_status tamis_indexer_prolog_run(
    const tamis_plan* plan, const tamis_indexer_prolog_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kIndexerProlog, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_indexer_prolog_renew(
    tamis_plan* plan, const tamis_indexer_prolog_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kIndexerProlog, plan, params);
}

tamis_status tamis_nd_to_nz_params_init_sized(
    tamis_nd_to_nz_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNdToNz, params, struct_size);
}

tamis_status tamis_nd_to_nz_plan(
    const tamis_context* context, const tamis_nd_to_nz_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNdToNz, context, params, plan);
}

tamis_status tamis_nd_to_nz_run(
    const tamis_plan* plan, const tamis_nd_to_nz_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNdToNz, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nd_to_nz_renew(
    tamis_plan* plan, const tamis_nd_to_nz_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNdToNz, plan, params);
}

tamis_status tamis_nz_to_nd_params_init_sized(
    tamis_nz_to_nd_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNzToNd, params, struct_size);
}

tamis_status tamis_nz_to_nd_plan(
    const tamis_context* context, const tamis_nz_to_nd_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNzToNd, context, params, plan);
}

tamis_status tamis_nz_to_nd_run(
    const tamis_plan* plan, const tamis_nz_to_nd_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kNzToNd, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_nz_to_nd_renew(
    tamis_plan* plan, const tamis_nz_to_nd_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kNzToNd, plan, params);
}

tamis_status tamis_quantize_index_keys_params_init_sized(
    tamis_quantize_index_keys_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kQuantizeIndexKeys, params, struct_size);
}

tamis_status tamis_quantize_index_keys_plan(
    const tamis_context* context, const tamis_quantize_index_keys_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kQuantizeIndexKeys, context, params, plan);
}

tamis_status tamis_quantize_index_keys_run(
    const tamis_plan* plan, const tamis_quantize_index_keys_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kQuantizeIndexKeys, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_quantize_index_keys_renew(
    tamis_plan* plan, const tamis_quantize_index_keys_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kQuantizeIndexKeys, plan, params);
}

tamis_status tamis_lightning_indexer_params_init_sized(
    tamis_lightning_indexer_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kLightningIndexer, params, struct_size);
}

tamis_status tamis_lightning_indexer_plan(
    const tamis_context* context, const tamis_lightning_indexer_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kLightningIndexer, context, params, plan);
}

tamis_status tamis_lightning_indexer_run(
    const tamis_plan* plan, const tamis_lightning_indexer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kLightningIndexer, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_lightning_indexer_renew(
    tamis_plan* plan, const tamis_lightning_indexer_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kLightningIndexer, plan, params);
}

tamis_status tamis_lightning_indexer_grad_params_init_sized(
    tamis_lightning_indexer_grad_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kLightningIndexerGrad, params, struct_size);
}

tamis_status tamis_lightning_indexer_grad_plan(
    const tamis_context* context, const tamis_lightning_indexer_grad_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kLightningIndexerGrad, context, params, plan);
}

tamis_status tamis_lightning_indexer_grad_run(
    const tamis_plan* plan, const tamis_lightning_indexer_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kLightningIndexerGrad, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_lightning_indexer_grad_renew(
    tamis_plan* plan, const tamis_lightning_indexer_grad_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kLightningIndexerGrad, plan, params);
}

tamis_status tamis_dense_lightning_indexer_softmax_lse_params_init_sized(
    tamis_dense_lightning_indexer_softmax_lse_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kDenseLightningIndexerSoftmaxLse, params, struct_size);
}

tamis_status tamis_dense_lightning_indexer_softmax_lse_plan(
    const tamis_context* context, const tamis_dense_lightning_indexer_softmax_lse_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kDenseLightningIndexerSoftmaxLse, context, params, plan);
}

tamis_status tamis_dense_lightning_indexer_softmax_lse_run(
    const tamis_plan* plan, const tamis_dense_lightning_indexer_softmax_lse_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kDenseLightningIndexerSoftmaxLse, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_dense_lightning_indexer_softmax_lse_renew(
    tamis_plan* plan, const tamis_dense_lightning_indexer_softmax_lse_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kDenseLightningIndexerSoftmaxLse, plan, params);
}

tamis_status tamis_dense_lightning_indexer_grad_kl_loss_params_init_sized(
    tamis_dense_lightning_indexer_grad_kl_loss_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kDenseLightningIndexerGradKlLoss, params, struct_size);
}

tamis_status tamis_dense_lightning_indexer_grad_kl_loss_plan(
    const tamis_context* context, const tamis_dense_lightning_indexer_grad_kl_loss_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kDenseLightningIndexerGradKlLoss, context, params, plan);
}

tamis_status tamis_dense_lightning_indexer_grad_kl_loss_run(
    const tamis_plan* plan, const tamis_dense_lightning_indexer_grad_kl_loss_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kDenseLightningIndexerGradKlLoss, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_dense_lightning_indexer_grad_kl_loss_renew(
    tamis_plan* plan, const tamis_dense_lightning_indexer_grad_kl_loss_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kDenseLightningIndexerGradKlLoss, plan, params);
}

tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_params_init_sized(
    tamis_sparse_lightning_indexer_grad_kl_loss_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kSparseLightningIndexerGradKlLoss, params, struct_size);
}

tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_plan(
    const tamis_context* context, const tamis_sparse_lightning_indexer_grad_kl_loss_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kSparseLightningIndexerGradKlLoss, context, params, plan);
}

tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_run(
    const tamis_plan* plan, const tamis_sparse_lightning_indexer_grad_kl_loss_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kSparseLightningIndexerGradKlLoss, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_renew(
    tamis_plan* plan, const tamis_sparse_lightning_indexer_grad_kl_loss_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kSparseLightningIndexerGradKlLoss, plan, params);
}

tamis_status tamis_sparse_flash_attention_params_init_sized(
    tamis_sparse_flash_attention_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kSparseFlashAttention, params, struct_size);
}

tamis_status tamis_sparse_flash_attention_plan(
    const tamis_context* context, const tamis_sparse_flash_attention_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kSparseFlashAttention, context, params, plan);
}

tamis_status tamis_sparse_flash_attention_run(
    const tamis_plan* plan, const tamis_sparse_flash_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kSparseFlashAttention, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_sparse_flash_attention_renew(
    tamis_plan* plan, const tamis_sparse_flash_attention_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kSparseFlashAttention, plan, params);
}

tamis_status tamis_sparse_flash_attention_grad_params_init_sized(
    tamis_sparse_flash_attention_grad_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kSparseFlashAttentionGrad, params, struct_size);
}

tamis_status tamis_sparse_flash_attention_grad_plan(
    const tamis_context* context, const tamis_sparse_flash_attention_grad_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kSparseFlashAttentionGrad, context, params, plan);
}

tamis_status tamis_sparse_flash_attention_grad_run(
    const tamis_plan* plan, const tamis_sparse_flash_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kSparseFlashAttentionGrad, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_sparse_flash_attention_grad_renew(
    tamis_plan* plan, const tamis_sparse_flash_attention_grad_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kSparseFlashAttentionGrad, plan, params);
}

tamis_status tamis_sparse_attention_pto_params_init_sized(
    tamis_sparse_attention_pto_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kSparseAttentionPto, params, struct_size);
}

tamis_status tamis_sparse_attention_pto_plan(
    const tamis_context* context, const tamis_sparse_attention_pto_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kSparseAttentionPto, context, params, plan);
}

tamis_status tamis_sparse_attention_pto_run(
    const tamis_plan* plan, const tamis_sparse_attention_pto_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kSparseAttentionPto, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_sparse_attention_pto_renew(
    tamis_plan* plan, const tamis_sparse_attention_pto_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kSparseAttentionPto, plan, params);
}

tamis_status tamis_pack_kv_rows_params_init_sized(
    tamis_pack_kv_rows_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kPackKvRows, params, struct_size);
}

tamis_status tamis_pack_kv_rows_plan(
    const tamis_context* context, const tamis_pack_kv_rows_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kPackKvRows, context, params, plan);
}

tamis_status tamis_pack_kv_rows_run(
    const tamis_plan* plan, const tamis_pack_kv_rows_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kPackKvRows, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_pack_kv_rows_renew(
    tamis_plan* plan, const tamis_pack_kv_rows_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kPackKvRows, plan, params);
}

tamis_status tamis_unpack_kv_rows_params_init_sized(
    tamis_unpack_kv_rows_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kUnpackKvRows, params, struct_size);
}

tamis_status tamis_unpack_kv_rows_plan(
    const tamis_context* context, const tamis_unpack_kv_rows_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kUnpackKvRows, context, params, plan);
}

tamis_status tamis_unpack_kv_rows_run(
    const tamis_plan* plan, const tamis_unpack_kv_rows_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kUnpackKvRows, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_unpack_kv_rows_renew(
    tamis_plan* plan, const tamis_unpack_kv_rows_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kUnpackKvRows, plan, params);
}

tamis_status tamis_merge_attention_states_params_init_sized(
    tamis_merge_attention_states_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kMergeAttentionStates, params, struct_size);
}

tamis_status tamis_merge_attention_states_plan(
    const tamis_context* context, const tamis_merge_attention_states_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kMergeAttentionStates, context, params, plan);
}

tamis_status tamis_merge_attention_states_run(
    const tamis_plan* plan, const tamis_merge_attention_states_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kMergeAttentionStates, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_merge_attention_states_renew(
    tamis_plan* plan, const tamis_merge_attention_states_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kMergeAttentionStates, plan, params);
}

tamis_status tamis_merge_topk_params_init_sized(
    tamis_merge_topk_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kMergeTopk, params, struct_size);
}

tamis_status tamis_merge_topk_plan(
    const tamis_context* context, const tamis_merge_topk_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kMergeTopk, context, params, plan);
}

tamis_status tamis_merge_topk_run(
    const tamis_plan* plan, const tamis_merge_topk_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kMergeTopk, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_merge_topk_renew(
    tamis_plan* plan, const tamis_merge_topk_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kMergeTopk, plan, params);
}

tamis_status tamis_localize_indices_params_init_sized(
    tamis_localize_indices_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kLocalizeIndices, params, struct_size);
}

tamis_status tamis_localize_indices_plan(
    const tamis_context* context, const tamis_localize_indices_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kLocalizeIndices, context, params, plan);
}

tamis_status tamis_localize_indices_run(
    const tamis_plan* plan, const tamis_localize_indices_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kLocalizeIndices, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_localize_indices_renew(
    tamis_plan* plan, const tamis_localize_indices_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kLocalizeIndices, plan, params);
}

tamis_status tamis_globalize_indices_params_init_sized(
    tamis_globalize_indices_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kGlobalizeIndices, params, struct_size);
}

tamis_status tamis_globalize_indices_plan(
    const tamis_context* context, const tamis_globalize_indices_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kGlobalizeIndices, context, params, plan);
}

tamis_status tamis_globalize_indices_run(
    const tamis_plan* plan, const tamis_globalize_indices_params* params,
    void* workspace, int64_t workspace_bytes, void* stream) {
  return tamis::capi::RunTyped(tamis::capi::kGlobalizeIndices, plan, params, workspace, workspace_bytes,
                               stream);
}

tamis_status tamis_globalize_indices_renew(
    tamis_plan* plan, const tamis_globalize_indices_params* params) {
  return tamis::capi::RenewTyped(tamis::capi::kGlobalizeIndices, plan, params);
}

}  // extern "C"

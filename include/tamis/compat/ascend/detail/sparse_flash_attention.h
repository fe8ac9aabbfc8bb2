/* What the forms of sparse flash attention have in common. */
#ifndef TAMIS_COMPAT_ASCEND_DETAIL_SPARSE_FLASH_ATTENTION_H_
#define TAMIS_COMPAT_ASCEND_DETAIL_SPARSE_FLASH_ATTENTION_H_

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A statistic of the device, [B, 1, S1, N] or [1, T1, N] for one key head, as ours: without it. */
TAMIS_ACL_FUNCTION tamis_tensor tamis_acl_statistic_of_heads(tamis_acl_call* call, const char* name,
                                                             const aclTensor* tensor,
                                                             const tamis_tensor* query) {
  tamis_tensor view = tamis_acl_required(call, name, tensor);
  const int32_t key_heads = query->rank - 3; /* their dimension: 1 of BSND, 0 of TND */
  int64_t expected[4] = {1, 1, 1, 1};
  char wanted[TAMIS_ACL_SHAPE_TEXT], found[TAMIS_ACL_SHAPE_TEXT];
  int32_t i;
  if (call->status != ACLNN_SUCCESS || key_heads < 0 || key_heads > 1) return view;
  for (i = 0; i <= query->rank - 2; ++i) expected[i < key_heads ? i : i + 1] = query->shape[i];
  if (view.rank != query->rank ||
      memcmp(view.shape, expected, (size_t)view.rank * sizeof(expected[0])) != 0) {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "%s: expected shape %s, got %s", name,
                                  tamis_acl_shape_text(wanted, expected, query->rank),
                                  tamis_acl_shape_text(found, view.shape, view.rank));
    return view;
  }
  --view.rank;
  for (i = key_heads; i < view.rank; ++i) {
    view.shape[i] = view.shape[i + 1];
    view.strides[i] = view.strides[i + 1];
  }
  return view;
}

/* The first stage of aclnnSparseFlashAttention and of its V2, whose `sinks` come in addition. */
TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_plan_sparse_flash_attention(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* sparseIndices, const aclTensor* blockTable,
    const aclTensor* actualSeqLengthsQuery, const aclTensor* actualSeqLengthsKv,
    const aclTensor* queryRope, const aclTensor* keyRope, const aclTensor* sinks, double scaleValue,
    int64_t sparseBlockSize, const char* layoutQuery, const char* layoutKv, int64_t sparseMode,
    int64_t preTokens, int64_t nextTokens, int64_t attentionMode, bool returnSoftmaxLse,
    const aclTensor* attentionOut, const aclTensor* softmaxMax, const aclTensor* softmaxSum,
    uint64_t* workspaceSize, aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {
      {"sparse_indices", "sparseIndices"},
      {"block_table", "blockTableOptional"},
      {"actual_seq_lengths_query", "actualSeqLengthsQueryOptional"},
      {"actual_seq_lengths_kv", "actualSeqLengthsKvOptional"},
      {"query_rope", "queryRopeOptional"},
      {"key_rope", "keyRopeOptional"},
      {"sinks", "sinksOptional"},
      {"scale_value", "scaleValue"},
      {"sparse_block_size", "sparseBlockSizeOptional"},
      {"layout_query", "layoutQueryOptional"},
      {"layout_kv", "layoutKvOptional"},
      {"sparse_mode", "sparseMode"},
      {"return_softmax_lse", "returnSoftmaxLse"},
      {"out", "attentionOut"},
      {"softmax_max", "softmaxMax"},
      {"softmax_sum", "softmaxSum"},
      {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_sparse_flash_attention_params params;
  tamis_sparse_flash_attention_params_init(&params);
  params.query = tamis_acl_required(&call, "query", query);
  params.key = tamis_acl_required(&call, "key", key);
  params.value = tamis_acl_optional(&call, "value", value);
  params.sparse_indices = tamis_acl_required(&call, "sparseIndices", sparseIndices);
  params.block_table = tamis_acl_optional(&call, "blockTableOptional", blockTable);
  params.actual_seq_lengths_query =
      tamis_acl_optional(&call, "actualSeqLengthsQueryOptional", actualSeqLengthsQuery);
  params.actual_seq_lengths_kv =
      tamis_acl_optional(&call, "actualSeqLengthsKvOptional", actualSeqLengthsKv);
  params.query_rope = tamis_acl_optional(&call, "queryRopeOptional", queryRope);
  params.key_rope = tamis_acl_optional(&call, "keyRopeOptional", keyRope);
  params.sinks = tamis_acl_optional(&call, "sinksOptional", sinks);
  params.scale_value = scaleValue;
  params.sparse_block_size = sparseBlockSize;
  params.layout_query = layoutQuery;
  params.layout_kv = layoutKv;
  params.sparse_mode = sparseMode;
  tamis_acl_expect(&call, "preTokens", preTokens, INT64_MAX, INT64_MAX);
  tamis_acl_expect(&call, "nextTokens", nextTokens, INT64_MAX, INT64_MAX);
  tamis_acl_expect(&call, "attentionMode", attentionMode, 2, 2);
  params.return_softmax_lse = returnSoftmaxLse ? 1 : 0;
  params.out = tamis_acl_required(&call, "attentionOut", attentionOut);
  if (returnSoftmaxLse) {
    params.softmax_max =
        tamis_acl_statistic_of_heads(&call, "softmaxMax", softmaxMax, &params.query);
    params.softmax_sum =
        tamis_acl_statistic_of_heads(&call, "softmaxSum", softmaxSum, &params.query);
  }
  if (call.status == ACLNN_SUCCESS) {
    tamis_acl_planned(&call,
                      tamis_sparse_flash_attention_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end(&call);
}

/* The first stage of aclnnKvQuantSparseFlashAttention and of its V2: rows of 656 bytes as keys and
 * values, queries whose last 64 channels are the rope. */
TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_plan_kv_quant_sparse_flash_attention(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* sparseIndices, const aclTensor* keyDequantScale,
    const aclTensor* valueDequantScale, const aclTensor* blockTable,
    const aclTensor* actualSeqLengthsQuery, const aclTensor* actualSeqLengthsKv,
    const aclTensor* sinks, double scaleValue, int64_t keyQuantMode, int64_t valueQuantMode,
    int64_t sparseBlockSize, const char* layoutQuery, const char* layoutKv, int64_t sparseMode,
    int64_t preTokens, int64_t nextTokens, int64_t attentionMode, int64_t quantScaleRepoMode,
    int64_t tileSize, int64_t ropeHeadDim, const aclTensor* attentionOut, uint64_t* workspaceSize,
    aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {
      {"sparse_indices", "sparseIndices"},
      {"block_table", "blockTableOptional"},
      {"actual_seq_lengths_query", "actualSeqLengthsQueryOptional"},
      {"actual_seq_lengths_kv", "actualSeqLengthsKvOptional"},
      {"query_rope", "query"},
      {"sinks", "sinksOptional"},
      {"scale_value", "scaleValue"},
      {"sparse_block_size", "sparseBlockSizeOptional"},
      {"layout_query", "layoutQueryOptional"},
      {"layout_kv", "layoutKvOptional"},
      {"sparse_mode", "sparseModeOptional"},
      {"out", "attentionOut"},
      {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_sparse_flash_attention_params params;
  int32_t last;
  tamis_sparse_flash_attention_params_init(&params);
  params.kv_format = "cann656";
  params.query = tamis_acl_required(&call, "query", query);
  params.key = tamis_acl_required(&call, "key", key);
  tamis_acl_require(&call, "value", value);
  if (call.status == ACLNN_SUCCESS && value->data != key->data) {
    call.status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                                 "value: expected the rows of key, got memory of its own");
  }
  tamis_acl_expect_absent(&call, "keyDequantScaleOptional", keyDequantScale, "scales are in rows");
  tamis_acl_expect_absent(&call, "valueDequantScaleOptional", valueDequantScale,
                          "scales are in rows");
  params.sparse_indices = tamis_acl_required(&call, "sparseIndices", sparseIndices);
  params.block_table = tamis_acl_optional(&call, "blockTableOptional", blockTable);
  params.actual_seq_lengths_query =
      tamis_acl_optional(&call, "actualSeqLengthsQueryOptional", actualSeqLengthsQuery);
  params.actual_seq_lengths_kv =
      tamis_acl_optional(&call, "actualSeqLengthsKvOptional", actualSeqLengthsKv);
  params.sinks = tamis_acl_optional(&call, "sinksOptional", sinks);
  params.scale_value = scaleValue;
  tamis_acl_expect(&call, "keyQuantMode", keyQuantMode, 2, 2);
  tamis_acl_expect(&call, "valueQuantMode", valueQuantMode, 2, 2);
  params.sparse_block_size = sparseBlockSize;
  params.layout_query = layoutQuery;
  params.layout_kv = layoutKv;
  params.sparse_mode = sparseMode;
  tamis_acl_expect(&call, "preTokensOptional", preTokens, INT64_MAX, INT64_MAX);
  tamis_acl_expect(&call, "nextTokensOptional", nextTokens, INT64_MAX, INT64_MAX);
  tamis_acl_expect(&call, "attentionModeOptional", attentionMode, 2, 2);
  tamis_acl_expect(&call, "quantScaleRepoModeOptional", quantScaleRepoMode, 1, 1);
  tamis_acl_expect(&call, "tileSizeOptional", tileSize, 128, 128);
  params.out = tamis_acl_required(&call, "attentionOut", attentionOut);
  last = params.query.rank - 1;
  if (call.status == ACLNN_SUCCESS &&
      (last < 0 || ropeHeadDim < 1 || ropeHeadDim >= params.query.shape[last])) {
    call.status =
        tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                       "ropeHeadDimOptional: expected 1 to the dims of query less 1, got %lld",
                       (long long)ropeHeadDim);
  }
  if (call.status == ACLNN_SUCCESS) {
    params.query.shape[last] -= ropeHeadDim;
    params.query_rope = params.query;
    params.query_rope.shape[last] = ropeHeadDim;
    if (params.query.data != NULL) {
      params.query_rope.data = (char*)params.query.data +
                               params.query.shape[last] * (int64_t)aclDataTypeSize(query->dtype);
    }
    tamis_acl_planned(&call,
                      tamis_sparse_flash_attention_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end(&call);
}

#ifdef __cplusplus
}
#endif

#endif

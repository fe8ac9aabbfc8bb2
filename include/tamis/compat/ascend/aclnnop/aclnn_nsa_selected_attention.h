/* aclnnNsaSelectedAttention: see docs/acl.md, and tamis_nsa_selected_attention_params in
 * tamis_ops.h for the shapes. Lengths are inclusive prefix sums. As on the device, sparseMode 2
 * counts only where attenMaskOptional is there, whose elements are never read. The statistics are
 * [T, N, 8] of float, every number 8 times. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_H_

#include "../detail/call.h"
#include "../detail/statistics.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaSelectedAttentionGetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* topkIndices, const aclTensor* attenMaskOptional,
    const aclIntArray* actualSeqQLenOptional, const aclIntArray* actualSeqKvLenOptional,
    double scaleValue, int64_t headNum, const char* inputLayout, int64_t sparseMode,
    int64_t selectedBlockSize, int64_t selectedBlockCount, const aclTensor* softmaxMaxOut,
    const aclTensor* softmaxSumOut, const aclTensor* attentionOut, uint64_t* workspaceSize,
    aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {{"topk_indices", "topkIndices"},
                                         {"actual_seq_qlen", "actualSeqQLenOptional"},
                                         {"actual_seq_kvlen", "actualSeqKvLenOptional"},
                                         {"scale_value", "scaleValue"},
                                         {"head_num", "headNum"},
                                         {"select_block_size", "selectedBlockSize"},
                                         {"select_block_count", "selectedBlockCount"},
                                         {"attention_out", "attentionOut"},
                                         {"softmax_max", "softmaxMaxOut"},
                                         {"softmax_sum", "softmaxSumOut"},
                                         {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_nsa_selected_attention_params params;
  tamis_acl_statistics* kept;
  tamis_nsa_selected_attention_params_init(&params);
  params.query = tamis_acl_required(&call, "query", query);
  params.key = tamis_acl_required(&call, "key", key);
  params.value = tamis_acl_required(&call, "value", value);
  params.topk_indices = tamis_acl_required(&call, "topkIndices", topkIndices);
  params.actual_seq_qlen = tamis_acl_ints(actualSeqQLenOptional);
  params.actual_seq_kvlen = tamis_acl_ints(actualSeqKvLenOptional);
  params.scale_value = scaleValue;
  params.head_num = headNum;
  tamis_acl_require(&call, "inputLayout", inputLayout);
  if (call.status == ACLNN_SUCCESS && strcmp(inputLayout, "TND") != 0) {
    call.status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "inputLayout: expected TND, got %.64s",
                                 inputLayout);
  }
  tamis_acl_expect(&call, "sparseMode", sparseMode, 0, 2);
  params.sparse_mode = attenMaskOptional == NULL ? 0 : sparseMode;
  params.select_block_size = selectedBlockSize;
  params.select_block_count = selectedBlockCount;
  params.attention_out = tamis_acl_required(&call, "attentionOut", attentionOut);
  kept = tamis_acl_keep_statistics(&call, &params.query, NULL, softmaxMaxOut, softmaxSumOut);
  if (kept != NULL) {
    params.softmax_max = tamis_dense_tensor(kept->values[0], TAMIS_FLOAT32, 2, params.query.shape);
    params.softmax_sum = tamis_dense_tensor(kept->values[1], TAMIS_FLOAT32, 2, params.query.shape);
    tamis_acl_planned(&call,
                      tamis_nsa_selected_attention_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end_with(&call, kept, tamis_acl_spread_by_token);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaSelectedAttention(void* workspace, uint64_t workspaceSize,
                                                         aclOpExecutor* executor,
                                                         aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

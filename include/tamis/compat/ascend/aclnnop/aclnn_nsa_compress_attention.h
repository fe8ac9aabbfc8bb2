/* aclnnNsaCompressAttention, document 002: see docs/acl.md, and tamis_nsa_compress_attention_params
 * in tamis_ops.h for the shapes. Lengths are inclusive prefix sums. The statistics are
 * [T, N, 8] of float, of which the device writes each sequence as [N, S, 8], every number 8 times:
 * so does this call. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_H_

#include "../detail/call.h"
#include "../detail/statistics.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaCompressAttentionGetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* attenMaskOptional, const aclTensor* topkMaskOptional,
    const aclIntArray* actualSeqQLenOptional, const aclIntArray* actualCmpSeqKvLenOptional,
    const aclIntArray* actualSelSeqKvLenOptional, double scaleValue, int64_t headNum,
    const char* inputLayout, int64_t sparseMode, int64_t compressBlockSize, int64_t compressStride,
    int64_t selectBlockSize, int64_t selectBlockCount, const aclTensor* softmaxMaxOut,
    const aclTensor* softmaxSumOut, const aclTensor* attentionOutOut,
    const aclTensor* topkIndicesOut, uint64_t* workspaceSize, aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {{"atten_mask", "attenMaskOptional"},
                                         {"topk_mask", "topkMaskOptional"},
                                         {"actual_seq_qlen", "actualSeqQLenOptional"},
                                         {"actual_cmp_seq_kvlen", "actualCmpSeqKvLenOptional"},
                                         {"actual_sel_seq_kvlen", "actualSelSeqKvLenOptional"},
                                         {"scale_value", "scaleValue"},
                                         {"head_num", "headNum"},
                                         {"compress_block_size", "compressBlockSize"},
                                         {"compress_stride", "compressStride"},
                                         {"select_block_size", "selectBlockSize"},
                                         {"select_block_count", "selectBlockCount"},
                                         {"attention_out", "attentionOutOut"},
                                         {"topk_indices", "topkIndicesOut"},
                                         {"softmax_max", "softmaxMaxOut"},
                                         {"softmax_sum", "softmaxSumOut"},
                                         {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_nsa_compress_attention_params params;
  tamis_acl_statistics* kept;
  tamis_nsa_compress_attention_params_init(&params);
  params.query = tamis_acl_required(&call, "query", query);
  params.key = tamis_acl_required(&call, "key", key);
  params.value = tamis_acl_required(&call, "value", value);
  params.atten_mask = tamis_acl_optional(&call, "attenMaskOptional", attenMaskOptional);
  params.topk_mask = tamis_acl_optional(&call, "topkMaskOptional", topkMaskOptional);
  params.actual_seq_qlen = tamis_acl_ints(actualSeqQLenOptional);
  params.actual_cmp_seq_kvlen = tamis_acl_ints(actualCmpSeqKvLenOptional);
  params.actual_sel_seq_kvlen = tamis_acl_ints(actualSelSeqKvLenOptional);
  params.scale_value = scaleValue;
  params.head_num = headNum;
  tamis_acl_require(&call, "inputLayout", inputLayout);
  if (call.status == ACLNN_SUCCESS && strcmp(inputLayout, "TND") != 0) {
    call.status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "inputLayout: expected TND, got %.64s",
                                 inputLayout);
  }
  tamis_acl_expect(&call, "sparseMode", sparseMode, 0, 1);
  params.compress_block_size = compressBlockSize;
  params.compress_stride = compressStride;
  params.select_block_size = selectBlockSize;
  params.select_block_count = selectBlockCount;
  params.attention_out = tamis_acl_required(&call, "attentionOutOut", attentionOutOut);
  params.topk_indices = tamis_acl_required(&call, "topkIndicesOut", topkIndicesOut);
  kept = tamis_acl_keep_statistics(&call, &params.query, actualSeqQLenOptional, softmaxMaxOut,
                                   softmaxSumOut);
  if (kept != NULL) {
    params.softmax_max = tamis_dense_tensor(kept->values[0], TAMIS_FLOAT32, 2, params.query.shape);
    params.softmax_sum = tamis_dense_tensor(kept->values[1], TAMIS_FLOAT32, 2, params.query.shape);
    tamis_acl_planned(&call,
                      tamis_nsa_compress_attention_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end_with(&call, kept, tamis_acl_spread_by_sequence);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaCompressAttention(void* workspace, uint64_t workspaceSize,
                                                         aclOpExecutor* executor,
                                                         aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

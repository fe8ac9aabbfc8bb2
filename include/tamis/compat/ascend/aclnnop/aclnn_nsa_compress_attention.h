/* aclnnNsaCompressAttention, document 002: see docs/acl.md, and tamis_nsa_compress_attention_params
 * in tamis_ops.h for the shapes. Lengths are inclusive prefix sums. The statistics are
 * [T, N, 8] of float, of which the device writes each sequence as [N, S, 8], every number 8 times:
 * so does this call. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_H_

#include "../detail/call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Maximum and sum as Tamis computes them, [T, N], and where the device has them. */
typedef struct tamis_acl_statistics {
  float* values[2];
  float* outputs[2];
  int64_t heads;
  int64_t sequences;
  int64_t* prefix; /* [sequences], inclusive */
} tamis_acl_statistics;

TAMIS_ACL_FUNCTION void tamis_acl_spread_statistics(void* kept) {
  const tamis_acl_statistics* const own = (const tamis_acl_statistics*)kept;
  int64_t begin = 0, s, h, t;
  int which, copy;
  for (s = 0; s < own->sequences; ++s) {
    const int64_t end = own->prefix[s];
    for (which = 0; which < 2; ++which) {
      float* to = own->outputs[which] + begin * own->heads * 8;
      for (h = 0; h < own->heads; ++h) {
        for (t = begin; t < end; ++t) {
          for (copy = 0; copy < 8; ++copy) *to++ = own->values[which][t * own->heads + h];
        }
      }
    }
    begin = end;
  }
}

/* Room for the statistics of a query [T, N, D], in one block; NULL and a complaint without. */
TAMIS_ACL_FUNCTION tamis_acl_statistics* tamis_acl_keep_statistics(tamis_acl_call* call,
                                                                   const tamis_tensor* query,
                                                                   const aclIntArray* prefix) {
  const uint64_t tokens = query->rank == 3 ? (uint64_t)query->shape[0] : 0;
  const uint64_t heads = query->rank == 3 ? (uint64_t)query->shape[1] : 0;
  const uint64_t most = SIZE_MAX / 64;
  const uint64_t sequences = prefix == NULL ? 0 : prefix->size;
  tamis_acl_statistics* kept = NULL;
  if (call->status != ACLNN_SUCCESS) return NULL;
  if (sequences < most && (heads == 0 || tokens < most / heads)) {
    kept = (tamis_acl_statistics*)malloc(sizeof(tamis_acl_statistics) +
                                         (size_t)sequences * sizeof(int64_t) +
                                         (size_t)(tokens * heads) * 2 * sizeof(float));
  }
  if (kept == NULL) {
    call->status = tamis_acl_fail(ACLNN_ERR_INNER,
                                  "query: no memory for the statistics of %llu heads "
                                  "of %llu tokens",
                                  (unsigned long long)heads, (unsigned long long)tokens);
    return NULL;
  }
  kept->heads = (int64_t)heads;
  kept->sequences = (int64_t)sequences;
  kept->prefix = (int64_t*)(void*)(kept + 1);
  if (sequences > 0) memcpy(kept->prefix, prefix->values, (size_t)sequences * sizeof(int64_t));
  kept->values[0] = (float*)(void*)(kept->prefix + sequences);
  kept->values[1] = kept->values[0] + tokens * heads;
  return kept;
}

/* The output of one statistic, which is to be dense [T, N, 8] of float. */
TAMIS_ACL_FUNCTION float* tamis_acl_statistic_output(tamis_acl_call* call, const char* name,
                                                     const aclTensor* tensor,
                                                     const tamis_tensor* query) {
  const tamis_tensor view = tamis_acl_required(call, name, tensor);
  const int64_t tokens = query->shape[0], heads = query->shape[1];
  if (call->status != ACLNN_SUCCESS || query->rank != 3) return NULL;
  if (view.dtype != TAMIS_FLOAT32 || view.rank != 3 || view.shape[0] != tokens ||
      view.shape[1] != heads || view.shape[2] != 8 || view.strides[2] != 1 ||
      view.strides[1] != 8 || (tokens > 1 && view.strides[0] / 8 != heads)) {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                                  "%s: expected dense float [%lld, %lld, 8], got another tensor",
                                  name, (long long)tokens, (long long)heads);
  } else if (view.data == NULL && tokens > 0 && heads > 0) {
    tamis_acl_absent(call, name);
  }
  return (float*)view.data;
}

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
  float* outputs[2];
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
  outputs[0] = tamis_acl_statistic_output(&call, "softmaxMaxOut", softmaxMaxOut, &params.query);
  outputs[1] = tamis_acl_statistic_output(&call, "softmaxSumOut", softmaxSumOut, &params.query);
  kept = tamis_acl_keep_statistics(&call, &params.query, actualSeqQLenOptional);
  if (kept != NULL) {
    kept->outputs[0] = outputs[0];
    kept->outputs[1] = outputs[1];
    params.softmax_max = tamis_dense_tensor(kept->values[0], TAMIS_FLOAT32, 2, params.query.shape);
    params.softmax_sum = tamis_dense_tensor(kept->values[1], TAMIS_FLOAT32, 2, params.query.shape);
    tamis_acl_planned(&call,
                      tamis_nsa_compress_attention_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end_with(&call, kept, tamis_acl_spread_statistics);
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

/* aclnnNsaCompressAttentionInfer, document 000: see docs/acl.md, and
 * tamis_nsa_compress_attention_infer_params in tamis_ops.h for the shapes. Lengths are counts. As
 * on the device, topKMaskOptional has no effect, and of attentionMaskOptional only its presence
 * counts, whatever sparseMode says. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_INFER_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_INFER_H_

#include "../detail/call.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaCompressAttentionInferGetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* attentionMaskOptional, const aclTensor* blockTableOptional,
    const aclIntArray* actualQSeqLenOptional, const aclIntArray* actualCmpKvSeqLenOptional,
    const aclIntArray* actualSelKvSeqLenOptional, const aclTensor* topKMaskOptional,
    int64_t numHeads, int64_t numKeyValueHeads, int64_t selectBlockSize, int64_t selectBlockCount,
    int64_t compressBlockSize, int64_t compressBlockStride, double scaleValue,
    const char* layoutOptional, int64_t pageBlockSize, int64_t sparseMode, const aclTensor* output,
    const aclTensor* topKOutput, uint64_t* workspaceSize, aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {{"block_table", "blockTableOptional"},
                                         {"atten_mask", "attentionMaskOptional"},
                                         {"scale_value", "scaleValue"},
                                         {"head_num", "numHeads"},
                                         {"key_value_head_num", "numKeyValueHeads"},
                                         {"select_block_size", "selectBlockSize"},
                                         {"select_block_count", "selectBlockCount"},
                                         {"page_block_size", "pageBlockSize"},
                                         {"compress_block_size", "compressBlockSize"},
                                         {"compress_stride", "compressBlockStride"},
                                         {"layout", "layoutOptional"},
                                         {"actual_seq_qlen", "actualQSeqLenOptional"},
                                         {"actual_cmp_seq_kvlen", "actualCmpKvSeqLenOptional"},
                                         {"actual_sel_seq_kvlen", "actualSelKvSeqLenOptional"},
                                         {"attention_out", "output"},
                                         {"topk_indices", "topKOutput"},
                                         {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_nsa_compress_attention_infer_params params;
  (void)topKMaskOptional;
  (void)sparseMode;
  tamis_nsa_compress_attention_infer_params_init(&params);
  params.query = tamis_acl_required(&call, "query", query);
  params.key = tamis_acl_required(&call, "key", key);
  params.value = tamis_acl_required(&call, "value", value);
  params.atten_mask = tamis_acl_optional(&call, "attentionMaskOptional", attentionMaskOptional);
  params.block_table = tamis_acl_required(&call, "blockTableOptional", blockTableOptional);
  params.actual_seq_qlen = tamis_acl_ints(actualQSeqLenOptional);
  params.actual_cmp_seq_kvlen = tamis_acl_ints(actualCmpKvSeqLenOptional);
  params.actual_sel_seq_kvlen = tamis_acl_ints(actualSelKvSeqLenOptional);
  params.head_num = numHeads;
  params.key_value_head_num = numKeyValueHeads;
  params.select_block_size = selectBlockSize;
  params.select_block_count = selectBlockCount;
  params.compress_block_size = compressBlockSize;
  params.compress_stride = compressBlockStride;
  params.scale_value = scaleValue;
  tamis_acl_require(&call, "layoutOptional", layoutOptional);
  params.layout = layoutOptional;
  params.page_block_size = pageBlockSize;
  params.attention_out = tamis_acl_required(&call, "output", output);
  params.topk_indices = tamis_acl_required(&call, "topKOutput", topKOutput);
  if (call.status == ACLNN_SUCCESS) {
    tamis_acl_planned(
        &call, tamis_nsa_compress_attention_infer_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end(&call);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaCompressAttentionInfer(void* workspace,
                                                              uint64_t workspaceSize,
                                                              aclOpExecutor* executor,
                                                              aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

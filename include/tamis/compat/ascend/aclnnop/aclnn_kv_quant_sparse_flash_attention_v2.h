/* aclnnKvQuantSparseFlashAttentionV2, sparse flash attention over rows of 656 bytes with sinks: see
 * docs/acl.md. query is [..., latent + rope], key the int8 rows of tamis_pack_kv_rows (cann656),
 * value the same rows; quantisation modes are 2, per tile. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_KV_QUANT_SPARSE_FLASH_ATTENTION_V2_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_KV_QUANT_SPARSE_FLASH_ATTENTION_V2_H_

#include "../detail/sparse_flash_attention.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnKvQuantSparseFlashAttentionV2GetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* sparseIndices, const aclTensor* keyDequantScaleOptional,
    const aclTensor* valueDequantScaleOptional, const aclTensor* blockTableOptional,
    const aclTensor* actualSeqLengthsQueryOptional, const aclTensor* actualSeqLengthsKvOptional,
    const aclTensor* sinksOptional, double scaleValue, int64_t keyQuantMode, int64_t valueQuantMode,
    int64_t sparseBlockSizeOptional, const char* layoutQueryOptional, const char* layoutKvOptional,
    int64_t sparseModeOptional, int64_t preTokensOptional, int64_t nextTokensOptional,
    int64_t attentionModeOptional, int64_t quantScaleRepoModeOptional, int64_t tileSizeOptional,
    int64_t ropeHeadDimOptional, const aclTensor* attentionOut, uint64_t* workspaceSize,
    aclOpExecutor** executor) {
  return tamis_acl_plan_kv_quant_sparse_flash_attention(
      query, key, value, sparseIndices, keyDequantScaleOptional, valueDequantScaleOptional,
      blockTableOptional, actualSeqLengthsQueryOptional, actualSeqLengthsKvOptional, sinksOptional,
      scaleValue, keyQuantMode, valueQuantMode, sparseBlockSizeOptional, layoutQueryOptional,
      layoutKvOptional, sparseModeOptional, preTokensOptional, nextTokensOptional,
      attentionModeOptional, quantScaleRepoModeOptional, tileSizeOptional, ropeHeadDimOptional,
      attentionOut, workspaceSize, executor);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnKvQuantSparseFlashAttentionV2(void* workspace,
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

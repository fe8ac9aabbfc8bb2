/* aclnnSparseFlashAttentionV2, document 004 with sinks: see docs/acl.md, and
 * tamis_sparse_flash_attention_params in tamis_ops.h for the shapes. Without value, the keys are
 * the values. The statistics are written, and looked at, with returnSoftmaxLse only. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_SPARSE_FLASH_ATTENTION_V2_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_SPARSE_FLASH_ATTENTION_V2_H_

#include "../detail/sparse_flash_attention.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnSparseFlashAttentionV2GetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* sparseIndices, const aclTensor* blockTableOptional,
    const aclTensor* actualSeqLengthsQueryOptional, const aclTensor* actualSeqLengthsKvOptional,
    const aclTensor* queryRopeOptional, const aclTensor* keyRopeOptional,
    const aclTensor* sinksOptional, double scaleValue, int64_t sparseBlockSizeOptional,
    const char* layoutQueryOptional, const char* layoutKvOptional, int64_t sparseMode,
    int64_t preTokens, int64_t nextTokens, int64_t attentionMode, bool returnSoftmaxLse,
    const aclTensor* attentionOut, const aclTensor* softmaxMax, const aclTensor* softmaxSum,
    uint64_t* workspaceSize, aclOpExecutor** executor) {
  return tamis_acl_plan_sparse_flash_attention(
      query, key, value, sparseIndices, blockTableOptional, actualSeqLengthsQueryOptional,
      actualSeqLengthsKvOptional, queryRopeOptional, keyRopeOptional, sinksOptional, scaleValue,
      sparseBlockSizeOptional, layoutQueryOptional, layoutKvOptional, sparseMode, preTokens,
      nextTokens, attentionMode, returnSoftmaxLse, attentionOut, softmaxMax, softmaxSum,
      workspaceSize, executor);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnSparseFlashAttentionV2(void* workspace, uint64_t workspaceSize,
                                                           aclOpExecutor* executor,
                                                           aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

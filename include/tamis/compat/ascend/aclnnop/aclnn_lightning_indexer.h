/* aclnnLightningIndexer: see docs/acl.md, and tamis_lightning_indexer_params in tamis_ops.h for the
 * shapes. sparseValuesOut is written, and looked at, with returnValues only. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_LIGHTNING_INDEXER_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_LIGHTNING_INDEXER_H_

#include "../detail/call.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnLightningIndexerGetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* weights,
    const aclTensor* actualSeqLengthsQueryOptional, const aclTensor* actualSeqLengthsKeyOptional,
    const aclTensor* blockTableOptional, const char* layoutQueryOptional,
    const char* layoutKeyOptional, int64_t sparseCount, int64_t sparseMode, int64_t preTokens,
    int64_t nextTokens, bool returnValues, const aclTensor* sparseIndicesOut,
    const aclTensor* sparseValuesOut, uint64_t* workspaceSize, aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {
      {"actual_seq_lengths_query", "actualSeqLengthsQueryOptional"},
      {"actual_seq_lengths_key", "actualSeqLengthsKeyOptional"},
      {"block_table", "blockTableOptional"},
      {"layout_query", "layoutQueryOptional"},
      {"layout_key", "layoutKeyOptional"},
      {"sparse_count", "sparseCount"},
      {"sparse_mode", "sparseMode"},
      {"return_value", "returnValues"},
      {"sparse_indices", "sparseIndicesOut"},
      {"sparse_values", "sparseValuesOut"},
      {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_lightning_indexer_params params;
  tamis_lightning_indexer_params_init(&params);
  params.query = tamis_acl_required(&call, "query", query);
  params.key = tamis_acl_required(&call, "key", key);
  params.weights = tamis_acl_required(&call, "weights", weights);
  params.actual_seq_lengths_query =
      tamis_acl_optional(&call, "actualSeqLengthsQueryOptional", actualSeqLengthsQueryOptional);
  params.actual_seq_lengths_key =
      tamis_acl_optional(&call, "actualSeqLengthsKeyOptional", actualSeqLengthsKeyOptional);
  params.block_table = tamis_acl_optional(&call, "blockTableOptional", blockTableOptional);
  params.layout_query = layoutQueryOptional;
  params.layout_key = layoutKeyOptional;
  params.sparse_count = sparseCount;
  params.sparse_mode = sparseMode;
  tamis_acl_expect(&call, "preTokens", preTokens, INT64_MAX, INT64_MAX);
  tamis_acl_expect(&call, "nextTokens", nextTokens, INT64_MAX, INT64_MAX);
  params.return_value = returnValues ? 1 : 0;
  params.sparse_indices = tamis_acl_required(&call, "sparseIndicesOut", sparseIndicesOut);
  if (returnValues) {
    params.sparse_values = tamis_acl_required(&call, "sparseValuesOut", sparseValuesOut);
  }
  if (call.status == ACLNN_SUCCESS) {
    tamis_acl_planned(&call, tamis_lightning_indexer_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end(&call);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnLightningIndexer(void* workspace, uint64_t workspaceSize,
                                                     aclOpExecutor* executor, aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

/* aclnnNsaSelectedAttentionInfer: see docs/acl.md, and tamis_nsa_selected_attention_infer_params in
 * tamis_ops.h for the shapes of TND. BSND: pages are [pages, pageBlockSize, N2, D]. BSH: query and
 * output are [B, S, N D]. With both, topkIndices may be [B, N2, K] where S is 1. Lengths are
 * counts. As on the device, attenMaskOptional and sparseMode have no effect; unlike there, every
 * key head has a list of its own. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_INFER_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_INFER_H_

#include "../detail/call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* [B, S, N D] as [B, S, N, D]. */
TAMIS_ACL_FUNCTION void tamis_acl_by_head(tamis_acl_call* call, const char* name, int64_t heads,
                                          tamis_tensor* view) {
  char found[TAMIS_ACL_SHAPE_TEXT];
  if (call->status != ACLNN_SUCCESS) return;
  if (heads < 1) {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                                  "numHeads: expected at least 1, got %lld", (long long)heads);
  } else if (view->rank != 3 || view->shape[2] % heads != 0) {
    call->status = tamis_acl_fail(
        ACLNN_ERR_PARAM_INVALID, "%s: expected shape [B, S, numHeads*D] of numHeads = %lld, got %s",
        name, (long long)heads, tamis_acl_shape_text(found, view->shape, view->rank));
  } else {
    view->rank = 4;
    view->shape[3] = view->shape[2] / heads;
    view->shape[2] = heads;
    view->strides[3] = view->strides[2];
    if (view->strides[2] == 1) view->strides[2] = view->shape[3]; /* any other stride is refused */
  }
}

/* [pages, pageBlockSize, N2, D] as [pages, pageBlockSize, N2 D]. */
TAMIS_ACL_FUNCTION void tamis_acl_heads_together(tamis_acl_call* call, const char* name,
                                                 int64_t heads, tamis_tensor* view) {
  char found[TAMIS_ACL_SHAPE_TEXT];
  if (call->status != ACLNN_SUCCESS) return;
  if (view->rank != 4 || heads < 1 || view->shape[2] != heads || view->shape[3] < 0 ||
      view->shape[3] > INT64_MAX / heads) {
    call->status = tamis_acl_fail(
        ACLNN_ERR_PARAM_INVALID,
        "%s: expected shape [pages, pageBlockSize, numKeyValueHeads = %lld, D], got %s", name,
        (long long)heads, tamis_acl_shape_text(found, view->shape, view->rank));
  } else if (heads > 1 && (view->strides[3] != 1 || view->strides[2] != view->shape[3])) {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                                  "%s: expected the heads of a row next to each other, got strides "
                                  "%s",
                                  name, tamis_acl_shape_text(found, view->strides, view->rank));
  } else {
    view->rank = 3;
    view->shape[2] = heads * view->shape[3];
    view->strides[2] = view->strides[3];
  }
}

/* [B, N2, K] as [B, 1, N2, K]. */
TAMIS_ACL_FUNCTION void tamis_acl_one_token_each(tamis_tensor* view) {
  int i;
  for (i = 3; i > 1; --i) {
    view->shape[i] = view->shape[i - 1];
    view->strides[i] = view->strides[i - 1];
  }
  view->rank = 4;
  view->shape[1] = 1;
  view->strides[1] = view->strides[0];
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaSelectedAttentionInferGetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* value,
    const aclTensor* topkIndices, const aclTensor* attenMaskOptional,
    const aclTensor* blockTableOptional, const aclIntArray* actualQSeqLenOptional,
    const aclIntArray* actualKvSeqLenOptional, const char* layoutOptional, int64_t numHeads,
    int64_t numKeyValueHeads, int64_t selectBlockSize, int64_t selectBlockCount,
    int64_t pageBlockSize, double scaleValue, int64_t sparseMode, const aclTensor* output,
    uint64_t* workspaceSize, aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {{"topk_indices", "topkIndices"},
                                         {"block_table", "blockTableOptional"},
                                         {"actual_seq_qlen", "actualQSeqLenOptional"},
                                         {"actual_seq_kvlen", "actualKvSeqLenOptional"},
                                         {"head_num", "numHeads"},
                                         {"key_value_head_num", "numKeyValueHeads"},
                                         {"select_block_size", "selectBlockSize"},
                                         {"select_block_count", "selectBlockCount"},
                                         {"page_block_size", "pageBlockSize"},
                                         {"scale_value", "scaleValue"},
                                         {"attention_out", "output"},
                                         {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_nsa_selected_attention_infer_params params;
  (void)attenMaskOptional;
  (void)sparseMode;
  tamis_nsa_selected_attention_infer_params_init(&params);
  params.query = tamis_acl_required(&call, "query", query);
  params.key = tamis_acl_required(&call, "key", key);
  params.value = tamis_acl_required(&call, "value", value);
  params.topk_indices = tamis_acl_required(&call, "topkIndices", topkIndices);
  params.block_table = tamis_acl_required(&call, "blockTableOptional", blockTableOptional);
  params.attention_out = tamis_acl_required(&call, "output", output);
  params.actual_seq_qlen = tamis_acl_ints(actualQSeqLenOptional);
  params.actual_seq_kvlen = tamis_acl_ints(actualKvSeqLenOptional);
  params.head_num = numHeads;
  params.key_value_head_num = numKeyValueHeads;
  params.select_block_size = selectBlockSize;
  params.select_block_count = selectBlockCount;
  params.page_block_size = pageBlockSize;
  params.scale_value = scaleValue;
  tamis_acl_require(&call, "layoutOptional", layoutOptional);
  if (call.status == ACLNN_SUCCESS && strcmp(layoutOptional, "TND") != 0) {
    params.layout = "BSND";
    if (params.topk_indices.rank == 3) tamis_acl_one_token_each(&params.topk_indices);
    if (strcmp(layoutOptional, "BSH") == 0) {
      tamis_acl_by_head(&call, "query", numHeads, &params.query);
      tamis_acl_by_head(&call, "output", numHeads, &params.attention_out);
    } else if (strcmp(layoutOptional, "BSND") == 0) {
      tamis_acl_heads_together(&call, "key", numKeyValueHeads, &params.key);
      tamis_acl_heads_together(&call, "value", numKeyValueHeads, &params.value);
    } else {
      call.status =
          tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                         "layoutOptional: expected BSH, BSND or TND, got %.64s", layoutOptional);
    }
  }
  if (call.status == ACLNN_SUCCESS) {
    tamis_acl_planned(
        &call, tamis_nsa_selected_attention_infer_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end(&call);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaSelectedAttentionInfer(void* workspace,
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

/* aclnnNsaCompress, document 001: see docs/acl.md, and tamis_nsa_compress_params in tamis_ops.h for
 * the shapes. Lengths are inclusive prefix sums. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_NSA_COMPRESS_H_

#include "../detail/call.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaCompressGetWorkspaceSize(
    const aclTensor* input, const aclTensor* weight, const aclIntArray* actSeqLenOptional,
    const char* layoutOptional, int64_t compressBlockSize, int64_t compressStride,
    int64_t actSeqLenType, const aclTensor* output, uint64_t* workspaceSize,
    aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {
      {"act_seq_len", "actSeqLenOptional"},  {"compress_block_size", "compressBlockSize"},
      {"compress_stride", "compressStride"}, {"layout", "layoutOptional"},
      {"act_seq_len_type", "actSeqLenType"}, {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_nsa_compress_params params;
  tamis_nsa_compress_params_init(&params);
  params.input = tamis_acl_required(&call, "input", input);
  params.weight = tamis_acl_required(&call, "weight", weight);
  params.act_seq_len = tamis_acl_ints(actSeqLenOptional);
  params.layout = layoutOptional;
  params.compress_block_size = compressBlockSize;
  params.compress_stride = compressStride;
  params.act_seq_len_type = actSeqLenType;
  params.output = tamis_acl_required(&call, "output", output);
  if (call.status == ACLNN_SUCCESS) {
    tamis_acl_planned(&call, tamis_nsa_compress_plan(tamis_acl_context, &params, &call.plan));
  }
  return tamis_acl_end(&call);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnNsaCompress(void* workspace, uint64_t workspaceSize,
                                                aclOpExecutor* executor, aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

/* aclnnMlaProlog without quantisation: see docs/acl.md, and tamis_mla_prolog_params in tamis_ops.h
 * for the shapes. Weights are ND or FRACTAL_NZ, the three alike. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_MLA_PROLOG_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_MLA_PROLOG_H_

#include "../detail/mla_prolog.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnMlaPrologGetWorkspaceSize(
    const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr,
    const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq,
    const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos,
    const aclTensor* cacheIndex, aclTensor* kvCacheRef, aclTensor* krCacheRef,
    const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional,
    const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional,
    const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional,
    const aclTensor* smoothScalesCqOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv,
    const char* cacheModeOptional, const aclTensor* queryOut, const aclTensor* queryRopeOut,
    uint64_t* workspaceSize, aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {TAMIS_ACL_MLA_PROLOG_NAMES, {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  tamis_acl_expect_unquantised(&call, dequantScaleXOptional, dequantScaleWDqOptional,
                               dequantScaleWUqQrOptional, dequantScaleWDkvKrOptional,
                               quantScaleCkvOptional, quantScaleCkrOptional,
                               smoothScalesCqOptional);
  return tamis_acl_plan_mla_prolog(tokenX, weightDq, weightUqQr, weightUk, weightDkvKr,
                                   rmsnormGammaCq, rmsnormGammaCkv, ropeSin, ropeCos, cacheIndex,
                                   kvCacheRef, krCacheRef, rmsnormEpsilonCq, rmsnormEpsilonCkv,
                                   cacheModeOptional, queryOut, queryRopeOut, NULL, &call);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnMlaProlog(void* workspace, uint64_t workspaceSize,
                                              aclOpExecutor* executor, aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

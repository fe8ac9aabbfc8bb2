/* aclnnMlaPrologV3WeightNz without quantisation: see docs/acl.md, and tamis_mla_prolog_params in
 * tamis_ops.h for the shapes. Weights are ND or FRACTAL_NZ, the three alike. Quantisation modes are
 * 0, qcQrScale and kcScale 1; tileSize has no effect, as on the device without quantisation. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_MLA_PROLOG_V3_WEIGHT_NZ_H_
#define TAMIS_COMPAT_ASCEND_ACLNNOP_ACLNN_MLA_PROLOG_V3_WEIGHT_NZ_H_

#include "../detail/mla_prolog.h"

#ifdef __cplusplus
extern "C" {
#endif

TAMIS_ACL_FUNCTION aclnnStatus aclnnMlaPrologV3WeightNzGetWorkspaceSize(
    const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr,
    const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq,
    const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos,
    aclTensor* kvCacheRef, aclTensor* krCacheRef, const aclTensor* cacheIndexOptional,
    const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional,
    const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional,
    const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional,
    const aclTensor* smoothScalesCqOptional, const aclTensor* actualSeqLenOptional,
    const aclTensor* kNopeClipAlphaOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv,
    const char* cacheModeOptional, int64_t weightQuantMode, int64_t kvCacheQuantMode,
    int64_t queryQuantMode, int64_t ckvkrRepoMode, int64_t quantScaleRepoMode, int64_t tileSize,
    double qcQrScale, double kcScale, const aclTensor* queryOut, const aclTensor* queryRopeOut,
    const aclTensor* dequantScaleQNopeOutOptional, const aclTensor* queryNormOutOptional,
    const aclTensor* dequantScaleQNormOutOptional, uint64_t* workspaceSize,
    aclOpExecutor** executor) {
  static const tamis_acl_name names[] = {TAMIS_ACL_MLA_PROLOG_NAMES, {NULL, NULL}};
  tamis_acl_call call = tamis_acl_begin(names, workspaceSize, executor);
  (void)tileSize;
  tamis_acl_expect_unquantised(&call, dequantScaleXOptional, dequantScaleWDqOptional,
                               dequantScaleWUqQrOptional, dequantScaleWDkvKrOptional,
                               quantScaleCkvOptional, quantScaleCkrOptional,
                               smoothScalesCqOptional);
  tamis_acl_expect_absent(&call, "actualSeqLenOptional", actualSeqLenOptional, "PA_BSND only");
  tamis_acl_expect_absent(&call, "kNopeClipAlphaOptional", kNopeClipAlphaOptional, "16 bits only");
  tamis_acl_expect(&call, "weightQuantMode", weightQuantMode, 0, 0);
  tamis_acl_expect(&call, "kvCacheQuantMode", kvCacheQuantMode, 0, 0);
  tamis_acl_expect(&call, "queryQuantMode", queryQuantMode, 0, 0);
  tamis_acl_expect(&call, "ckvkrRepoMode", ckvkrRepoMode, 0, 0);
  tamis_acl_expect(&call, "quantScaleRepoMode", quantScaleRepoMode, 0, 0);
  tamis_acl_expect_one(&call, "qcQrScale", qcQrScale);
  tamis_acl_expect_one(&call, "kcScale", kcScale);
  tamis_acl_expect_absent(&call, "dequantScaleQNopeOutOptional", dequantScaleQNopeOutOptional,
                          "16 bits only");
  tamis_acl_expect_absent(&call, "dequantScaleQNormOutOptional", dequantScaleQNormOutOptional,
                          "16 bits only");
  return tamis_acl_plan_mla_prolog(
      tokenX, weightDq, weightUqQr, weightUk, weightDkvKr, rmsnormGammaCq, rmsnormGammaCkv, ropeSin,
      ropeCos, cacheIndexOptional, kvCacheRef, krCacheRef, rmsnormEpsilonCq, rmsnormEpsilonCkv,
      cacheModeOptional, queryOut, queryRopeOut, queryNormOutOptional, &call);
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnMlaPrologV3WeightNz(void* workspace, uint64_t workspaceSize,
                                                        aclOpExecutor* executor,
                                                        aclrtStream stream) {
  (void)stream;
  return tamis_acl_run(workspace, workspaceSize, executor);
}

#ifdef __cplusplus
}
#endif

#endif

/* What the forms of the MLA prolog have in common. */
#ifndef TAMIS_COMPAT_ASCEND_DETAIL_MLA_PROLOG_H_
#define TAMIS_COMPAT_ASCEND_DETAIL_MLA_PROLOG_H_

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A weight [K, N], row-major or NZ: [K, N] or [N / 16, K / 16, 16, 16], and which of both. */
TAMIS_ACL_FUNCTION tamis_tensor tamis_acl_weight(tamis_acl_call* call, const char* name,
                                                 const aclTensor* tensor, const char** format) {
  const char* mine;
  tamis_tensor view;
  if (tensor == NULL || tensor->format != ACL_FORMAT_FRACTAL_NZ) {
    view = tamis_acl_required(call, name, tensor);
    mine = "ND";
  } else {
    view = tamis_acl_view(call, name, tensor);
    mine = "NZ";
    if (view.rank == 4 && view.shape[2] == 16 && view.shape[3] == 16 && view.strides[3] == 1 &&
        view.strides[2] == 16 && view.strides[1] == 256 &&
        (view.shape[0] == 1 || view.strides[0] / 256 == view.shape[1])) {
      const int64_t shape[] = {view.shape[1] * 16, view.shape[0] * 16};
      view = tamis_dense_tensor(view.data, view.dtype, 2, shape);
    }
  }
  if (call->status == ACLNN_SUCCESS && *format != NULL && strcmp(*format, mine) != 0) {
    call->status =
        tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "%s: expected the format of weightDq, %s, got %s",
                       name, *format, mine);
  }
  *format = mine;
  return view;
}

/* The scales of quantised forms, which must be absent. */
TAMIS_ACL_FUNCTION void tamis_acl_expect_unquantised(
    tamis_acl_call* call, const aclTensor* dequantScaleX, const aclTensor* dequantScaleWDq,
    const aclTensor* dequantScaleWUqQr, const aclTensor* dequantScaleWDkvKr,
    const aclTensor* quantScaleCkv, const aclTensor* quantScaleCkr,
    const aclTensor* smoothScalesCq) {
  static const char why[] = "16 bits only";
  tamis_acl_expect_absent(call, "dequantScaleXOptional", dequantScaleX, why);
  tamis_acl_expect_absent(call, "dequantScaleWDqOptional", dequantScaleWDq, why);
  tamis_acl_expect_absent(call, "dequantScaleWUqQrOptional", dequantScaleWUqQr, why);
  tamis_acl_expect_absent(call, "dequantScaleWDkvKrOptional", dequantScaleWDkvKr, why);
  tamis_acl_expect_absent(call, "quantScaleCkvOptional", quantScaleCkv, why);
  tamis_acl_expect_absent(call, "quantScaleCkrOptional", quantScaleCkr, why);
  tamis_acl_expect_absent(call, "smoothScalesCqOptional", smoothScalesCq, why);
}

TAMIS_ACL_FUNCTION void tamis_acl_expect_one(tamis_acl_call* call, const char* name, double value) {
  if (call->status != ACLNN_SUCCESS || (value >= 1 && value <= 1)) return;
  call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "%s: expected 1, got %g", name, value);
}

/* The device's names of what all forms have. */
#define TAMIS_ACL_MLA_PROLOG_NAMES                                                           \
  {"x", "tokenX"}, {"w_dq", "weightDq"}, {"w_uq_qr", "weightUqQr"}, {"w_uk", "weightUk"},    \
      {"w_dkv_kr", "weightDkvKr"}, {"gamma_cq", "rmsnormGammaCq"},                           \
      {"gamma_ckv", "rmsnormGammaCkv"}, {"sin", "ropeSin"}, {"cos", "ropeCos"},              \
      {"cache_index", "cacheIndex"}, {"kv_cache", "kvCacheRef"}, {"kr_cache", "krCacheRef"}, \
      {"epsilon_cq", "rmsnormEpsilonCq"}, {"epsilon_ckv", "rmsnormEpsilonCkv"},              \
      {"query", "queryOut"}, {"query_rope", "queryRopeOut"}, {                               \
    "query_norm", "queryNormOutOptional"                                                     \
  }

/* The first stage of aclnnMlaProlog, of V2 and of V3, without quantisation: 16 bits all. */
TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_plan_mla_prolog(
    const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr,
    const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq,
    const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos,
    const aclTensor* cacheIndex, aclTensor* kvCacheRef, aclTensor* krCacheRef,
    double rmsnormEpsilonCq, double rmsnormEpsilonCkv, const char* cacheMode,
    const aclTensor* queryOut, const aclTensor* queryRopeOut, const aclTensor* queryNormOut,
    tamis_acl_call* call) {
  tamis_mla_prolog_params params;
  tamis_mla_prolog_params_init(&params);
  params.weight_format = NULL;
  params.x = tamis_acl_required(call, "tokenX", tokenX);
  params.w_dq = tamis_acl_weight(call, "weightDq", weightDq, &params.weight_format);
  params.w_uq_qr = tamis_acl_weight(call, "weightUqQr", weightUqQr, &params.weight_format);
  params.w_uk = tamis_acl_required(call, "weightUk", weightUk);
  params.w_dkv_kr = tamis_acl_weight(call, "weightDkvKr", weightDkvKr, &params.weight_format);
  params.gamma_cq = tamis_acl_required(call, "rmsnormGammaCq", rmsnormGammaCq);
  params.gamma_ckv = tamis_acl_required(call, "rmsnormGammaCkv", rmsnormGammaCkv);
  params.sin = tamis_acl_required(call, "ropeSin", ropeSin);
  params.cos = tamis_acl_required(call, "ropeCos", ropeCos);
  params.cache_index = tamis_acl_required(call, "cacheIndex", cacheIndex);
  params.kv_cache = tamis_acl_required(call, "kvCacheRef", kvCacheRef);
  params.kr_cache = tamis_acl_required(call, "krCacheRef", krCacheRef);
  params.epsilon_cq = rmsnormEpsilonCq;
  params.epsilon_ckv = rmsnormEpsilonCkv;
  if (call->status == ACLNN_SUCCESS && cacheMode != NULL && strcmp(cacheMode, "PA_BSND") != 0) {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                                  "cacheModeOptional: expected PA_BSND, got %.64s", cacheMode);
  }
  params.query = tamis_acl_required(call, "queryOut", queryOut);
  params.query_rope = tamis_acl_required(call, "queryRopeOut", queryRopeOut);
  params.query_norm = tamis_acl_optional(call, "queryNormOutOptional", queryNormOut);
  if (call->status == ACLNN_SUCCESS) {
    tamis_acl_planned(call, tamis_mla_prolog_plan(tamis_acl_context, &params, &call->plan));
  }
  return tamis_acl_end(call);
}

#ifdef __cplusplus
}
#endif

#endif

/* Softmax statistics of the NSA operators: [T, N] as Tamis computes them, [T, N, 8] on the device,
 * every number 8 times. */
#ifndef TAMIS_COMPAT_ASCEND_DETAIL_STATISTICS_H_
#define TAMIS_COMPAT_ASCEND_DETAIL_STATISTICS_H_

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Maximum and sum as Tamis computes them, [T, N], and where the device has them. */
typedef struct tamis_acl_statistics {
  float* values[2];
  float* outputs[2];
  int64_t tokens;
  int64_t heads;
  int64_t sequences;
  int64_t* prefix; /* [sequences], inclusive */
} tamis_acl_statistics;

/* In the order of the shape [T, N, 8]. */
TAMIS_ACL_FUNCTION void tamis_acl_spread_by_token(void* kept) {
  const tamis_acl_statistics* const own = (const tamis_acl_statistics*)kept;
  int64_t i;
  int which, copy;
  for (which = 0; which < 2; ++which) {
    float* to = own->outputs[which];
    for (i = 0; i < own->tokens * own->heads; ++i) {
      for (copy = 0; copy < 8; ++copy) *to++ = own->values[which][i];
    }
  }
}

/* Each sequence as [N, S, 8]. */
TAMIS_ACL_FUNCTION void tamis_acl_spread_by_sequence(void* kept) {
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

/* Room for the statistics of a query [T, N, D], in one block, and where they go; NULL and a
 * complaint without. `prefix` is for tamis_acl_spread_by_sequence, else NULL. */
TAMIS_ACL_FUNCTION tamis_acl_statistics* tamis_acl_keep_statistics(tamis_acl_call* call,
                                                                   const tamis_tensor* query,
                                                                   const aclIntArray* prefix,
                                                                   const aclTensor* softmaxMaxOut,
                                                                   const aclTensor* softmaxSumOut) {
  const uint64_t tokens = query->rank == 3 ? (uint64_t)query->shape[0] : 0;
  const uint64_t heads = query->rank == 3 ? (uint64_t)query->shape[1] : 0;
  const uint64_t most = SIZE_MAX / 64;
  const uint64_t sequences = prefix == NULL ? 0 : prefix->size;
  float* const maximum = tamis_acl_statistic_output(call, "softmaxMaxOut", softmaxMaxOut, query);
  float* const sum = tamis_acl_statistic_output(call, "softmaxSumOut", softmaxSumOut, query);
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
  kept->tokens = (int64_t)tokens;
  kept->heads = (int64_t)heads;
  kept->sequences = (int64_t)sequences;
  kept->prefix = (int64_t*)(void*)(kept + 1);
  if (sequences > 0) memcpy(kept->prefix, prefix->values, (size_t)sequences * sizeof(int64_t));
  kept->values[0] = (float*)(void*)(kept->prefix + sequences);
  kept->values[1] = kept->values[0] + tokens * heads;
  kept->outputs[0] = maximum;
  kept->outputs[1] = sum;
  return kept;
}

#ifdef __cplusplus
}
#endif

#endif

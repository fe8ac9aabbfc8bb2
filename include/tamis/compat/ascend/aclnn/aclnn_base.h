/* Status codes of the operators: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ASCEND_ACLNN_ACLNN_BASE_H_
#define TAMIS_COMPAT_ASCEND_ACLNN_ACLNN_BASE_H_

#include <stdint.h>

#include "../acl/acl_base.h"
#include "acl_meta.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t aclnnStatus;

static const int ACLNN_SUCCESS = 0;
static const int ACLNN_ERR_PARAM_NULLPTR = 161001;
static const int ACLNN_ERR_PARAM_INVALID = 161002;
static const int ACLNN_ERR_RUNTIME_ERROR = 361001;
static const int ACLNN_ERR_INNER = 561000;

TAMIS_ACL_FUNCTION aclnnStatus aclnnInit(const char* configPath) {
  (void)configPath;
  return ACLNN_SUCCESS;
}

TAMIS_ACL_FUNCTION aclnnStatus aclnnFinalize(void) { return ACLNN_SUCCESS; }

#ifdef __cplusplus
}
#endif

#endif

/* AscendCL's calls, as far as programs around one operator need them, for CPUs: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ASCEND_ACL_ACL_H_
#define TAMIS_COMPAT_ASCEND_ACL_ACL_H_

#include "acl_base.h"
#include "acl_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Nothing is to be initialised here, and a configuration is not read. */
TAMIS_ACL_FUNCTION aclError aclInit(const char* configPath) {
  (void)configPath;
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclFinalize(void) { return ACL_SUCCESS; }

#ifdef __cplusplus
}
#endif

#endif

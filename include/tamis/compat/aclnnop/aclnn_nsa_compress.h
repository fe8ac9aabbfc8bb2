/* As ascend/aclnnop/aclnn_nsa_compress.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_COMPRESS_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_COMPRESS_H_

#include "../ascend/aclnnop/aclnn_nsa_compress.h"

#endif

/* As ascend/aclnnop/aclnn_nsa_compress_attention.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_COMPRESS_ATTENTION_H_

#include "../ascend/aclnnop/aclnn_nsa_compress_attention.h"

#endif

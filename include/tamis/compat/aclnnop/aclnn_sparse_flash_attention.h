/* As ascend/aclnnop/aclnn_sparse_flash_attention.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_SPARSE_FLASH_ATTENTION_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_SPARSE_FLASH_ATTENTION_H_

#include "../ascend/aclnnop/aclnn_sparse_flash_attention.h"

#endif

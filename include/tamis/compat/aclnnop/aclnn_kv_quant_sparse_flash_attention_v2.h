/* As ascend/aclnnop/aclnn_kv_quant_sparse_flash_attention_v2.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_KV_QUANT_SPARSE_FLASH_ATTENTION_V2_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_KV_QUANT_SPARSE_FLASH_ATTENTION_V2_H_

#include "../ascend/aclnnop/aclnn_kv_quant_sparse_flash_attention_v2.h"

#endif

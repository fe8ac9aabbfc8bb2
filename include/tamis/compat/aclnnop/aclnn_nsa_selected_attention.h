/* As ascend/aclnnop/aclnn_nsa_selected_attention.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_H_

#include "../ascend/aclnnop/aclnn_nsa_selected_attention.h"

#endif

/* As ascend/aclnnop/aclnn_nsa_selected_attention_infer.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_INFER_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_NSA_SELECTED_ATTENTION_INFER_H_

#include "../ascend/aclnnop/aclnn_nsa_selected_attention_infer.h"

#endif

/* As ascend/aclnnop/aclnn_mla_prolog_v2_weight_nz.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_MLA_PROLOG_V2_WEIGHT_NZ_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_MLA_PROLOG_V2_WEIGHT_NZ_H_

#include "../ascend/aclnnop/aclnn_mla_prolog_v2_weight_nz.h"

#endif

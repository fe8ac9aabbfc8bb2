/* As ascend/aclnnop/aclnn_mla_prolog.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_MLA_PROLOG_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_MLA_PROLOG_H_

#include "../ascend/aclnnop/aclnn_mla_prolog.h"

#endif

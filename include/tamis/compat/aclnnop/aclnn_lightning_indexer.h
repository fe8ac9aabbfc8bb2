/* As ascend/aclnnop/aclnn_lightning_indexer.h: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACLNNOP_ACLNN_LIGHTNING_INDEXER_H_
#define TAMIS_COMPAT_ACLNNOP_ACLNN_LIGHTNING_INDEXER_H_

#include "../ascend/aclnnop/aclnn_lightning_indexer.h"

#endif

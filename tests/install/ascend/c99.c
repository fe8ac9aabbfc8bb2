/* Every header that C may include, twice, in C99: and a call that fails, for main.cc to ask why. */
#include <tamis/compat/acl.h>
#include <tamis/compat/aclnnop/aclnn_kv_quant_sparse_flash_attention.h>
#include <tamis/compat/aclnnop/aclnn_kv_quant_sparse_flash_attention_v2.h>
#include <tamis/compat/aclnnop/aclnn_lightning_indexer.h>
#include <tamis/compat/aclnnop/aclnn_mla_prolog.h>
#include <tamis/compat/aclnnop/aclnn_mla_prolog_v2_weight_nz.h>
#include <tamis/compat/aclnnop/aclnn_mla_prolog_v3_weight_nz.h>
#include <tamis/compat/aclnnop/aclnn_nsa_compress.h>
#include <tamis/compat/aclnnop/aclnn_nsa_compress_attention.h>
#include <tamis/compat/aclnnop/aclnn_nsa_compress_attention_infer.h>
#include <tamis/compat/aclnnop/aclnn_nsa_selected_attention.h>
#include <tamis/compat/aclnnop/aclnn_nsa_selected_attention_infer.h>
#include <tamis/compat/aclnnop/aclnn_sparse_flash_attention.h>
#include <tamis/compat/aclnnop/aclnn_sparse_flash_attention_v2.h>

#include "acl/acl.h"
#include "acl/acl_base.h"
#include "acl/acl_rt.h"
#include "aclnn/acl_meta.h"
#include "aclnn/aclnn_base.h"
#include "aclnnop/aclnn_kv_quant_sparse_flash_attention.h"
#include "aclnnop/aclnn_kv_quant_sparse_flash_attention_v2.h"
#include "aclnnop/aclnn_lightning_indexer.h"
#include "aclnnop/aclnn_mla_prolog.h"
#include "aclnnop/aclnn_mla_prolog_v2_weight_nz.h"
#include "aclnnop/aclnn_mla_prolog_v3_weight_nz.h"
#include "aclnnop/aclnn_nsa_compress.h"
#include "aclnnop/aclnn_nsa_compress_attention.h"
#include "aclnnop/aclnn_nsa_compress_attention_infer.h"
#include "aclnnop/aclnn_nsa_selected_attention.h"
#include "aclnnop/aclnn_nsa_selected_attention_infer.h"
#include "aclnnop/aclnn_sparse_flash_attention.h"
#include "aclnnop/aclnn_sparse_flash_attention_v2.h"
#include "securec.h"

int FailInC(void);

int FailInC(void) {
  uint64_t size;
  aclOpExecutor* executor;
  return aclnnNsaCompressGetWorkspaceSize(NULL, NULL, NULL, "TND", 2, 2, 0, NULL, &size, &executor);
}

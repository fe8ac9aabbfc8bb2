#include "registry/registry.h"

#include "ops/dense_lightning_indexer/grad_kl_loss_problem.h"
#include "ops/dense_lightning_indexer/problem.h"
#include "ops/dense_lightning_indexer/sparse_kl_loss_problem.h"
#include "ops/indexer_prolog/problem.h"
#include "ops/kv_rows/problem.h"
#include "ops/lightning_indexer/grad_problem.h"
#include "ops/lightning_indexer/problem.h"
#include "ops/merge/problem.h"
#include "ops/mla_prolog/problem.h"
#include "ops/nsa_compress/grad_problem.h"
#include "ops/nsa_compress/problem.h"
#include "ops/nsa_compress_attention/grad_problem.h"
#include "ops/nsa_compress_attention/problem.h"
#include "ops/nsa_compress_attention_infer/problem.h"
#include "ops/nsa_selected_attention/grad_problem.h"
#include "ops/nsa_selected_attention/problem.h"
#include "ops/quantize_index_keys/problem.h"
#include "ops/sliding_window_attention/grad_problem.h"
#include "ops/sliding_window_attention/problem.h"
#include "ops/sparse_attention_pto/problem.h"
#include "ops/sparse_flash_attention/grad_problem.h"
#include "ops/sparse_flash_attention/problem.h"
#include "ops/weight_format/problem.h"
#include "prim/call/room.h"

namespace tamis::registry {

std::span<const base::Operator> Operators() {
  static const base::Operator kOperators[] = {
      prim::MakeOperator<nsa_compress::Room>(),
      prim::MakeOperator<nsa_compress_grad::Room>(),
      prim::MakeOperator<nsa_compress_infer::Room>(),
      prim::MakeOperator<nsa_compress_attention::Room>(),
      prim::MakeOperator<nsa_compress_attention_infer::Room>(),
      prim::MakeOperator<nsa_compress_attention_grad::Room>(),
      prim::MakeOperator<nsa_selected_attention::Room>(),
      prim::MakeOperator<nsa_selected_attention_infer::Room>(),
      prim::MakeOperator<nsa_selected_attention_grad::Room>(),
      prim::MakeOperator<sliding_window_attention::Room>(),
      prim::MakeOperator<sliding_window_attention_grad::Room>(),
      prim::MakeOperator<mla_prolog::Room>(),
      prim::MakeOperator<indexer_prolog::Room>(),
      prim::MakeOperator<weight_format::NdToNz>(),
      prim::MakeOperator<weight_format::NzToNd>(),
      prim::MakeOperator<quantize_index_keys::Room>(),
      prim::MakeOperator<lightning_indexer::Room>(),
      prim::MakeOperator<lightning_indexer_grad::Room>(),
      prim::MakeOperator<dense_lightning_indexer_softmax_lse::Room>(),
      prim::MakeOperator<dense_lightning_indexer_grad_kl_loss::Room>(),
      prim::MakeOperator<sparse_lightning_indexer_grad_kl_loss::Room>(),
      prim::MakeOperator<sparse_flash_attention::Room>(),
      prim::MakeOperator<sparse_flash_attention_grad::Room>(),
      sparse_attention_pto::MakeOperator(),
      prim::MakeOperator<pack_kv_rows::Room>(),
      prim::MakeOperator<unpack_kv_rows::Room>(),
      prim::MakeOperator<merge_attention_states::Room>(),
      prim::MakeOperator<merge_topk::Room>(),
      prim::MakeOperator<localize_indices::Room>(),
      prim::MakeOperator<globalize_indices::Room>(),
  };
  return kOperators;
}

const base::Operator* Find(std::string_view name) {
  for (const base::Operator& op : Operators()) {
    if (op.contract->name == name) return &op;
  }
  return nullptr;
}

std::string Names() {
  std::string names;
  for (const base::Operator& op : Operators())
    names += (names.empty() ? "" : ", ") + op.contract->name;
  return names;
}

}  // namespace tamis::registry

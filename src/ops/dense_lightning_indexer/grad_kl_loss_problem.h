// The normalised dense_lightning_indexer_grad_kl_loss, and the room as the rest of the house takes
// it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "ops/dense_lightning_indexer/cpu/grad_kl_loss.h"
#include "ops/dense_lightning_indexer/problem.h"
#include "prim/attention_grad/chunks.h"
#include "prim/call/heads.h"
#include "prim/references/index_grad_reference.h"
#include "tamis/ops/dense_lightning_indexer_grad_kl_loss.hpp"

namespace tamis::dense_lightning_indexer_grad_kl_loss {

struct Problem : dense_lightning_indexer::Sizes, prim::HeadGroups {
  int64_t dim = 0;
  int64_t rope_dim = 0;
  double scale = 0;
  int64_t query_rows = 0;  // padding among them
  int64_t key_rows = 0;
  prim::attention::Call call;  // its sequences
  prim::attention_grad::Chunks chunks;
  KernelArgs args = {};  // the kernels' view, filled by OnCpu

  int64_t heads() const { return kv_heads * group; }
};

struct Room {
  using Params = dense_lightning_indexer_grad_kl_loss::Params;
  using Problem = dense_lightning_indexer_grad_kl_loss::Problem;
  static constexpr const char* kFolder = "dense_lightning_indexer";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static prim::IndexGradReference ReferenceOf(const Problem& problem, const Params& in,
                                              const std::vector<int64_t>& rows,
                                              const prim::ForIndices& for_indices);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

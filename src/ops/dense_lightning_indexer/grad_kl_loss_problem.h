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
#include "prim/references/attention_grad_reference.h"
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

/// Rows of the reference: those of query tokens, those of keys, and one for the loss.
class Reference {
 public:
  Reference(const Problem& problem, const Params& in, const std::vector<int64_t>& rows,
            const prim::ForIndices& for_indices);

  void PutRow(int64_t row, size_t slot, base::Golden* golden) const;

 private:
  struct Number {
    double value = 0;
    double error = 0;
  };
  struct Row;
  const prim::TokenSequence& SequenceOf(int64_t query_row) const;
  Number ProbabilityOf(const prim::TokenSequence& s, int64_t token, int64_t position) const;
  Row RowOf(int64_t query_row) const;
  void PutQueryRow(int64_t query_row, size_t slot, base::Golden* golden) const;
  void PutKeyRow(int64_t key_row, size_t slot, base::Golden* golden) const;
  void PutLoss(size_t slot, base::Golden* golden) const;

  const Problem& p_;
  const Params& in_;
  std::vector<std::vector<Number>> score_grads_;  // dI of query rows, those that are needed
  std::vector<Number> losses_;
};

struct Room {
  using Params = dense_lightning_indexer_grad_kl_loss::Params;
  using Problem = dense_lightning_indexer_grad_kl_loss::Problem;
  static constexpr const char* kFolder = "dense_lightning_indexer";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static Reference ReferenceOf(const Problem& problem, const Params& in,
                               const std::vector<int64_t>& rows,
                               const prim::ForIndices& for_indices) {
    return {problem, in, rows, for_indices};
  }
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

// The normalised nsa_selected_attention and its form for decoding, and both rooms as the rest of
// the house takes them.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "prim/attention/call.h"
#include "prim/call/heads.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/nsa_selected_attention.hpp"
#include "tamis/ops/nsa_selected_attention_infer.hpp"

namespace tamis::selected_attention {

inline constexpr int64_t kKeyTile = 128;  // at most prim::attention::kMostKeyTile
// Positions are below 2^31: longer blocks hold the same ones.
inline constexpr int64_t kMostBlock = int64_t{1} << 31;

/// Of all operators. Visible positions end where the token problem's sequences say.
struct Sizes : prim::TokenProblem, prim::HeadGroups {
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  int64_t top_k = 0;
  int64_t block_size = 1;
  bool causal = true;
  double scale = 0;
};

/// Of either forward.
struct Problem : Sizes, prim::attention::Call {
  bool storage = true;  // of Accuracy
};

/// The tensors of either operator, keys and values as [keys, N2, D] or [pages, page, N2, D].
struct Tensors {
  const TensorView& query;
  TensorView key;
  TensorView value;
  const TensorView& topk_indices;
  const OutputView& out;
  const OutputView& max;
  const OutputView& sum;
};

/// select_block_size and select_block_count, against the slots of a list.
Status CheckBlocks(int64_t block_size, int64_t block_count, int64_t slots, Sizes* sizes);

/// Lengths, heads and blocks of a packed call, and the dimensions of its contract.
struct PackedCall {
  const IntList& query_lengths;
  const IntList& key_lengths;
  int64_t head_num;
  int64_t block_size;
  int64_t block_count;
  int64_t sparse_mode;
  double scale;
};
template <class Params>
PackedCall PackedCallOf(const Params& in) {
  return {in.actual_seq_qlen,    in.actual_seq_kvlen, in.head_num,   in.select_block_size,
          in.select_block_count, in.sparse_mode,      in.scale_value};
}
Status TakePacked(const PackedCall& call, base::Dims* dims, Sizes* sizes);

/// The call of the engine, but for tensors and blocking: what a gradient needs of it, too.
void FillSource(const Sizes& p, const TensorView& query, prim::attention::Call* call);
void BindList(const Sizes& p, const TensorView& topk_indices, prim::attention::Source* source);

/// Pairs of a query token and a key that it reads, for one head of each kv head. Of lists that are
/// not known, as many as there may be.
double CountPairs(const Sizes& p, const TensorView& topk_indices);

/// What both forwards do alike.
struct Steps {
  static void BindTensors(const Problem& p, const Tensors& in, prim::attention::Args* args);
  static void MakeWork(Problem& p, const Tensors& in, const prim::CpuTarget& target,
                       prim::CpuWork* work);
  static void ReferenceRowOf(const Problem& p, const Tensors& in, int64_t row, size_t slot,
                             base::Golden* golden);
  static Cost CostOf(const Problem& p, const Tensors& in);
  static std::string Blocking(const Problem& problem);
};

/// The positions that a query token reads for a kv head, in their order.
std::vector<int64_t> Selected(const Sizes& p, const TensorView& topk_indices,
                              const prim::TokenSequence& s, int64_t token, int64_t kv_head);

}  // namespace tamis::selected_attention

namespace tamis::nsa_selected_attention {

struct Room : selected_attention::Steps {
  using Params = nsa_selected_attention::Params;
  using Problem = selected_attention::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static void Bind(const Problem& problem, const Params& in, prim::attention::Args* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::nsa_selected_attention

namespace tamis::nsa_selected_attention_infer {

struct Room : selected_attention::Steps {
  using Params = nsa_selected_attention_infer::Params;
  using Problem = selected_attention::Problem;
  static constexpr const char* kFolder = "nsa_selected_attention";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static void Bind(const Problem& problem, const Params& in, prim::attention::Args* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::nsa_selected_attention_infer

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

/// Of either operator. Visible positions end where the token problem's sequences say.
struct Problem : prim::TokenProblem, prim::HeadGroups, prim::attention::Call {
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  int64_t top_k = 0;
  int64_t block_size = 1;
  bool causal = true;
  double scale = 0;
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

/// What both operators do alike.
struct Steps {
  static Status CheckBlocks(int64_t block_size, int64_t block_count, int64_t slots,
                            Problem* problem);
  static void BindTensors(const Problem& p, const Tensors& in, prim::attention::Args* args);
  static void MakeWork(Problem& p, const Tensors& in, const prim::CpuTarget& target,
                       prim::CpuWork* work);
  static void ReferenceRowOf(const Problem& p, const Tensors& in, int64_t row, size_t slot,
                             base::Golden* golden);
  static Cost CostOf(const Problem& p, const Tensors& in);
  static std::string Blocking(const Problem& problem);
};

/// The positions that a query token reads for a kv head, in their order.
std::vector<int64_t> Selected(const Problem& p, const TensorView& topk_indices,
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

// The normalised sliding_window_attention, and the room as the rest of the house takes it.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/operator.h"
#include "prim/attention/call.h"
#include "prim/call/heads.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/sliding_window_attention.hpp"

namespace tamis::sliding_window_attention {

/// Of the operator and its gradient.
struct Sizes : prim::TokenProblem, prim::HeadGroups {
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  int64_t window = 0;
  double scale = 0;
};

/// What both check alike: heads, the window, and where tokens and keys lie.
template <class Params>
Status TakeCommon(const Params& params, const TensorView& block_table, base::Dims* dims,
                  Sizes* sizes) {
  const base::Dims& d = *dims;
  if (params.window_size < 0) return base::Invalid("window_size", "at least 0", params.window_size);
  TAMIS_RETURN_IF_ERROR(prim::CheckHeads(d["N"], d["N2"], sizes));
  prim::TokenLengths lengths;
  lengths.query_layout = prim::LayoutOf(params.layout_query);
  lengths.key_layout = prim::LayoutOf(params.layout_kv);
  lengths.query_lengths = params.actual_seq_lengths_query;
  lengths.key_lengths = params.actual_seq_lengths_kv;
  lengths.block_table = block_table;
  lengths.key_starts = params.key_starts;
  lengths.limited = !params.key_limits.absent();
  lengths.window = params.window_size;
  TAMIS_RETURN_IF_ERROR(prim::FindSequences(lengths, dims, sizes));
  sizes->qk_dim = d["D"];
  sizes->v_dim = d["D2"];
  sizes->window = params.window_size;
  sizes->scale = params.scale_value;
  return Status::Ok();
}

/// The positions that a query token sees, limits among what hides the others.
inline prim::Span WindowOf(const Sizes& p, const prim::TokenSequence& s, int64_t token,
                           const TensorView& limits) {
  const int64_t end = p.End(s, token, true, limits);
  const int64_t begin = std::max(s.first, end - p.window);
  return {begin, std::max<int64_t>(end - begin, 0)};
}

/// Query-key pairs of one head; limits are the run's, and count for nothing here.
double CountPairs(const Sizes& p);

struct Problem : Sizes, prim::attention::Call {};

struct Room {
  using Params = sliding_window_attention::Params;
  using Problem = sliding_window_attention::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, prim::attention::Args* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::sliding_window_attention

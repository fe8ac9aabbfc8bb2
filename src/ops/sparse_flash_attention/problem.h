// The normalised sparse_flash_attention, and the room as the rest of the house takes it.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"
#include "prim/attention/call.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/sparse_flash_attention.hpp"

namespace tamis::sparse_flash_attention {

// Of 64 keys, out would be read and written twice as often, for 5% of the time; 128 keys of 576
// dims are 300 KB, which with out and the queries is what L2 holds.
inline constexpr int64_t kKeyTile = 128;  // at most prim::attention::kMostKeyTile
// Positions are below 2^31: longer blocks hold the same ones.
inline constexpr int64_t kMostBlock = int64_t{1} << 31;

struct Problem : prim::TokenProblem, prim::attention::Call {
  int64_t heads = 0;
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  int64_t top_k = 0;
  int64_t block_size = 1;
  bool causal = true;
  double scale = 0;
  bool storage = true;          // of Accuracy
  bool integer_scores = false;  // they may be: scores are in fp32 wherever statistics are wanted
  bool byte_rows = false;       // key holds rows of bytes
  bool value_in_key = true;     // values are the latent part of key
  prim::KvRow kv_row;
  bool with_window = false;
  prim::TokenProblem window;  // where its keys lie; the query tokens are the same
  int64_t window_size = 0;    // of the positions before a token's own and that

  /// The positions that a query token has selected and may see, in their order. Limits without
  /// memory hide nothing.
  std::vector<int64_t> Selected(const Params& in, const prim::TokenSequence& s,
                                int64_t token) const;
  /// The positions [begin, end) of the window that token `token` of sequences[i] sees.
  prim::attention::Range Window(size_t i, int64_t token) const;
};

struct Room {
  using Params = sparse_flash_attention::Params;
  using Problem = sparse_flash_attention::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static Status CheckStrides(const Problem& problem, const Params& in);
  static void Bind(const Problem& problem, const Params& in, prim::attention::Args* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::sparse_flash_attention

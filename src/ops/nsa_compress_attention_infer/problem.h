// The normalised nsa_compress_attention_infer, and the room as the rest of the house takes it.
#pragma once

#include <vector>

#include "base/operator.h"
#include "prim/compressed_attention/attention.h"
#include "tamis/ops/nsa_compress_attention_infer.hpp"

namespace tamis::nsa_compress_attention_infer {

/// Of one sequence.
struct Lengths {
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t tokens = -1;  // raw; -1: not given
};

struct Problem : prim::AttentionProblem {
  std::vector<Lengths> lengths;
};

struct Room : prim::CompressedAttentionRoom {
  using Params = nsa_compress_attention_infer::Params;
  using Problem = nsa_compress_attention_infer::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::nsa_compress_attention_infer

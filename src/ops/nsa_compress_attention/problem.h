// The normalised nsa_compress_attention, and the room as the rest of the house takes it.
#pragma once

#include <vector>

#include "base/operator.h"
#include "prim/compressed_attention/attention.h"
#include "tamis/ops/nsa_compress_attention.hpp"

namespace tamis::nsa_compress_attention {

struct Room : prim::CompressedAttentionRoom {
  using Params = nsa_compress_attention::Params;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::nsa_compress_attention

// Which positions a query token's list names: the specification of lists of blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "prim/call/token_sequences.h"

namespace tamis::prim {

/// Of the first ceil(end / block) ids of a token those before the first negative one: visits the
/// positions [id block, (id + 1) block) that the token sees, in their order, as often as they are
/// named, by slot and position. `ids` has the queries' leading dimensions, one head, then slots.
template <class Visit>
void ForListed(const TokenProblem& p, const TensorView& ids, const TokenSequence& s, int64_t token,
               int64_t end, int64_t block, const Visit& visit) {
  if (s.padding || end == s.first) return;
  const auto* at = static_cast<const int32_t*>(ids.data) + p.TokenOffset(ids, s, token);
  const int64_t slots = std::min(ids.shape[ids.rank - 1], end / block + (end % block != 0 ? 1 : 0));
  for (int64_t t = 0; t < slots && at[t] >= 0; ++t) {
    const int64_t begin = at[t] * block;
    for (int64_t position = std::max(begin, s.first); position < std::min(begin + block, end);
         ++position)
      visit(t, position);
  }
}

/// The positions alone.
inline std::vector<int64_t> ListedPositions(const TokenProblem& p, const TensorView& ids,
                                            const TokenSequence& s, int64_t token, int64_t end,
                                            int64_t block = 1) {
  std::vector<int64_t> positions;
  ForListed(p, ids, s, token, end, block,
            [&](int64_t /*slot*/, int64_t position) { positions.push_back(position); });
  return positions;
}

}  // namespace tamis::prim

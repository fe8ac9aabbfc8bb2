// Ranks that share the positions of a sequence, as localize_indices says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/conformance.h"

namespace tamis::test {

inline int64_t LocalOf(int64_t position, int64_t world, int64_t interleave) {
  return position / interleave / world * interleave + position % interleave;
}
inline int64_t OwnerOf(int64_t position, int64_t world, int64_t interleave) {
  return position / interleave % world;
}

/// Of positions 0 to count - 1 those of the holder of `ranks` ranks from `rank` on, ascending.
inline std::vector<int64_t> HeldBy(int64_t rank, int64_t ranks, int64_t world, int64_t interleave,
                                   int64_t count) {
  std::vector<int64_t> held;
  for (int64_t p = 0; p < count; ++p) {
    const int64_t owner = OwnerOf(p, world, interleave);
    if (owner >= rank && owner < rank + ranks) held.push_back(p);
  }
  return held;
}

/// What no deal is, is refused by its name, with what was expected and what came.
inline void ExpectBadDealsRefused(const char* op) {
  struct Deal {
    int64_t rank, world, interleave, ranks;
    const char* message;
  };
  for (const Deal& deal : {
           Deal{0, 0, 1, 1, "world: expected at least 1, got 0"},
           Deal{2, 2, 1, 1, "rank: expected 0 to world - 1 = 1, got 2"},
           Deal{-1, 2, 1, 1, "rank: expected 0 to world - 1 = 1, got -1"},
           Deal{0, 2, 0, 1, "interleave: expected at least 1, got 0"},
           Deal{0, 2, 1, 0, "ranks: expected 1 to world - rank = 2, got 0"},
           Deal{0, 2, 1, INT64_MIN,
                "ranks: expected 1 to world - rank = 2, got -9223372036854775808"},
           Deal{3, 5, 1, 3, "ranks: expected 1 to world - rank = 2, got 3"},
           Deal{1, INT64_MAX, 1, INT64_MAX,
                "ranks: expected 1 to world - rank = 9223372036854775806, got "
                "9223372036854775807"},
       }) {
    TestCall call(op);
    call.Tensor("indices", DType::kInt32, {2, 3}, [](int64_t) { return 0.0; })
        .Set("rank", deal.rank)
        .Set("world", deal.world)
        .Set("interleave", deal.interleave)
        .Set("ranks", deal.ranks);
    SCOPED_TRACE(deal.message);
    ExpectRefused(call, StatusCode::kInvalidArgument, deal.message);
  }
}

}  // namespace tamis::test

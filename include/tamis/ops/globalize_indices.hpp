// globalize_indices: places among one holder's keys as positions of the sequence.
#pragma once

#include "tamis/plan.hpp"

namespace tamis::globalize_indices {

/// The inverse of localize_indices. Keys are dealt to `world` ranks in turn, `interleave`
/// neighbours at a time, and a holder has those of `ranks` ranks, from `rank` on, in the sequence's
/// order: with I = interleave, R = world and n = ranks, place l is position
/// l / (I n) * (I R) + rank I + l mod (I n). Every entry of `indices` is taken by itself: a
/// negative one gives -1 and ends nothing. Positions must be below 2^31; one that would not be
/// gives -1, too. Deterministic for any number of threads. The output must not overlap the input.
struct Params {
  static constexpr const char* kOperator = "globalize_indices";

  TensorView indices = {};    // [T, K] int32
  int64_t rank = kNotGiven;   // in [0, world)
  int64_t world = kNotGiven;  // at least 1
  int64_t interleave = 1;     // at least 1
  int64_t ranks = 1;          // in [1, world - rank]
  bool strict = false;
  OutputView sparse_indices = {};  // [T, K] int32
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::globalize_indices

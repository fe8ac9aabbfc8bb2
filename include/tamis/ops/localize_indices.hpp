// localize_indices: of selected positions, those that one holder has, as places among its keys.
#pragma once

#include "tamis/plan.hpp"

namespace tamis::localize_indices {

/// Keys are dealt to `world` ranks in turn, `interleave` neighbours at a time: with I = interleave
/// and R = world, position p belongs to rank (p / I) mod R. A holder has the keys of n = `ranks`
/// ranks, from `rank` on, and keeps them in the sequence's order: there position p is at place
/// p / (I R) * I n + p mod (I R) - rank I, which for one rank is p / (I R) * I + p mod I. Of every
/// row of `indices` up to the first negative entry, those that the holder has, in their order, as
/// places; then -1. counts says how many there are; a row of which the holder has nothing is all
/// -1. globalize_indices is the way back. Deterministic for any number of threads. Outputs must not
/// overlap inputs.
struct Params {
  static constexpr const char* kOperator = "localize_indices";

  TensorView indices = {};    // [T, K] int32
  int64_t rank = kNotGiven;   // in [0, world)
  int64_t world = kNotGiven;  // at least 1
  int64_t interleave = 1;     // at least 1
  int64_t ranks = 1;          // in [1, world - rank]
  bool strict = false;
  OutputView sparse_indices = {};  // [T, K] int32
  OutputView counts = {};          // [T] int32; may be absent
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::localize_indices

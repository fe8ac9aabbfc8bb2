// One call of attention, as the plans of all attention rooms make it. A room fills in what it
// means: tensors, sources and what tokens see of them, products, outputs, and how it blocks. The
// rest is the same for all.
#pragma once

#include <vector>

#include "prim/attention/cpu/args.h"
#include "prim/attention/cpu/seen.h"
#include "prim/call/work.h"

namespace tamis::prim::attention {

// Rows (tokens x heads of a group) per item: every key is widened once per item, which is work that
// more rows share.
inline constexpr int64_t kRowsPerItem = 64;

// Positions of a paged source are below 2^31: longer pages hold the same ones.
inline constexpr int64_t kMostPage = int64_t{1} << 31;

/// Base of a room's Problem.
struct Call {
  Args args;
  std::vector<Sequence> key_sequences;  // the args' sequences
  std::vector<Cut> cuts;
  std::vector<Task> tasks;
};

/// Query or output heads of a tensor, by the strides of its leading dimensions in elements.
Heads HeadsOf(const TensorView& view, const Tokens& at, int64_t head_stride);

/// Head blocks of `most` heads at most, of equal size and whole vectors.
void CutHeads(int64_t most, Args* args);

/// Clears what a plan before left; args, but for their tensors, are those of a new call.
void Begin(Call* call);

/// Where args and sequences are filled: items, phases, and scratch.
void MakeWork(const CpuTarget& target, Call* call, CpuWork* work);

}  // namespace tamis::prim::attention

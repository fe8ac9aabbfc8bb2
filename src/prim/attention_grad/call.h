// One call of the gradient of attention, as the plans of all rooms make it. A room fills in the
// forward as it would for the attention engine, and the tensors of the gradient. The rest is the
// same for all.
#pragma once

#include <string>

#include "prim/attention/call.h"
#include "prim/attention_grad/chunks.h"
#include "prim/attention_grad/cpu/args.h"
#include "prim/call/work.h"

namespace tamis::prim::attention_grad {

/// Base of a room's Problem.
struct Call {
  attention::Call forward;    // sequences with one source, and args without tensors of results
  bool packed_keys = true;    // [T2, ...] instead of [B, S2, ...]
  int64_t key_batches = 1;    // B; of packed keys 1
  int64_t rows_of_batch = 0;  // S2 or T2
  Args args;
  Chunks chunks;
};

/// Of a gradient that lies as these rows.
GradRows GradRowsOf(const attention::Rows& rows);

/// Where sequences of the forward, attributes and tensors are filled: groups, phases, and scratch.
/// Sequences without query tokens need not be there.
void MakeWork(const CpuTarget& target, Call* call, CpuWork* work);

/// What MakeWork has chosen.
std::string Blocking(const Call& call);

}  // namespace tamis::prim::attention_grad

// One call of a gradient over lists, as the plans of its operators make it. An operator fills in
// sequences, sizes, tables and columns, and brings the kernel of the first phase; the rest is the
// same for all.
#pragma once

#include <string>

#include "prim/attention/call.h"
#include "prim/attention_grad/chunks.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "prim/list_grad/cpu/args.h"

namespace tamis::prim::list_grad {

/// Base of a room's Problem.
struct Call {
  attention::Call forward;    // sequences
  bool packed_keys = true;    // [T2, ...] instead of [B, S2, ...]
  int64_t key_batches = 1;    // B; of packed keys 1
  int64_t rows_of_batch = 0;  // S2 or T2
  attention_grad::Chunks chunks;
};

/// Puts rows of heads among the pieces, and a gradient among the outputs.
void AddPiece(const Piece& piece, Args* args);
void AddOutput(const Output& output, Args* args);

/// Where the rows of a tensor with the keys' leading dimensions lie.
void SetKeys(const TokenProblem& p, const TensorView& key, Call* call);

/// Where the call's sequences and the args, but for tensors, are filled: chunks, phases of
/// `queries` and of the second kernel, and shared memory. Scratch is at least the second phase's.
void MakeWork(const CpuTarget& target, CpuKernel* queries, Call* call, Args* args, CpuWork* work);

/// What MakeWork has chosen.
std::string Blocking(const Args& args);

}  // namespace tamis::prim::list_grad

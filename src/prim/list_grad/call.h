// One call of a gradient over lists, as the plans of its operators make it. An operator fills in
// sequences, sizes, tables and columns, and brings the kernel of the first phase; the rest is the
// same for all.
#pragma once

#include <string>
#include <vector>

#include "prim/attention/call.h"
#include "prim/attention_grad/chunks.h"
#include "prim/call/work.h"
#include "prim/list_grad/cpu/args.h"

namespace tamis::prim::list_grad {

/// Base of a room's Problem.
struct Call {
  attention::Call forward;  // sequences
  attention_grad::KeyLayout keys;
  std::vector<Group> groups;
  std::vector<Part> parts;
};

/// Puts rows of heads among the pieces, and a gradient among the outputs.
void AddPiece(const Piece& piece, Args* args);
void AddOutput(const Output& output, Args* args);

/// Where the call's sequences and the args, but for tensors, are filled: chunks, phases of
/// `queries` and of the second kernel, and shared memory. Scratch is at least the second phase's.
void MakeWork(const CpuTarget& target, CpuKernel* queries, Call* call, Args* args, CpuWork* work);

/// What MakeWork has chosen.
std::string Blocking(const Args& args);

}  // namespace tamis::prim::list_grad

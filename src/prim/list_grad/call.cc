#include "prim/list_grad/call.h"

#include <algorithm>

#include "base/checked.h"
#include "prim/list_grad/cpu/kernel_units.h"

namespace tamis::prim::list_grad {
namespace {

// What tokens leave between the phases. Fewer floats are more chunks, each of which reads and
// writes the sums of keys.
constexpr int64_t kMostSlotFloats = int64_t{1} << 24;
constexpr int64_t kLeastTokens = 4;  // of a chunk, for the workers

// Positions that one token has at most. Of blocks that hold all keys there is one.
void FindSlots(Args* args) {
  attention::List& list = args->attend.sources[0].list;
  const int64_t keys = std::max<int64_t>(args->attend.max_keys, 1);
  list.block = std::min(list.block, keys);
  args->slots = Times(std::min(list.slots, base::CeilDiv(keys, list.block)), list.block);
}

}  // namespace

void SetKeys(const TokenProblem& p, const TensorView& key, Call* call) {
  call->packed_keys = p.key_layout == TokenLayout::kTnd;
  call->key_batches = call->packed_keys ? 1 : key.shape[0];
  call->rows_of_batch = key.shape[call->packed_keys ? 0 : 1];
}

void AddPiece(const Piece& piece, Args* args) { args->pieces[args->piece_count++] = piece; }
void AddOutput(const Output& output, Args* args) { args->outputs[args->output_count++] = output; }

void MakeWork(const CpuTarget& target, CpuKernel* queries, Call* call, Args* args, CpuWork* work) {
  static constexpr KernelTable kKeys = {kListGradKeysUnits};
  Args& a = *args;
  const std::vector<attention::Sequence>& sequences = call->forward.key_sequences;
  a.attend.sequences = sequences.data();
  a.attend.sequence_count = static_cast<int64_t>(sequences.size());
  FindSlots(&a);
  attention_grad::Chunks& chunks = call->chunks;
  CutGroups(sequences, 1, &chunks);
  const auto groups = static_cast<int64_t>(chunks.groups.size());
  a.tokens_per_chunk = std::min(std::max(kLeastTokens, kMostSlotFloats / Slot(a).total),
                                std::max<int64_t>(groups, 1));
  a.strips = base::CeilDiv(a.columns, kStripColumns);
  AddChunks(
      {.sequences = sequences,
       .packed_keys = call->packed_keys,
       .key_batches = call->key_batches,
       .rows_of_batch = call->rows_of_batch,
       .groups_per_chunk = a.tokens_per_chunk,
       .items_of = [&a](int64_t keys) { return Times(base::CeilDiv(keys, kRangeKeys), a.strips); },
       .of_queries = queries,
       .of_keys = a.output_count > 0 ? kKeys.at(target.level) : nullptr},
      &chunks, work);
  a.sum_rows = a.output_count > 0 ? chunks.sum_rows : 0;
  a.groups = chunks.groups.data();
  a.group_count = groups;
  a.parts = chunks.parts.data();
  a.part_count = static_cast<int64_t>(chunks.parts.size());
  work->scratch_bytes = Times(KeyScratch(a).total, sizeof(float));
  work->shared_bytes = Times(Shared(a).total, sizeof(float));
}

std::string Blocking(const Args& a) {
  return "a token per item, then " + std::to_string(kRangeKeys) + " positions x " +
         std::to_string(kStripColumns) + " columns, chunks of " +
         std::to_string(a.tokens_per_chunk) + " of " + std::to_string(a.group_count) + " tokens";
}

}  // namespace tamis::prim::list_grad

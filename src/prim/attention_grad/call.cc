#include "prim/attention_grad/call.h"

#include <algorithm>

#include "base/checked.h"
#include "prim/attention_grad/cpu/kernel_units.h"
#include "prim/attention_grad/cpu/scratch.h"

namespace tamis::prim::attention_grad {
namespace {

// Query rows of a group: keys of a unit are widened once for all of them, and so are the rows of a
// list's block for the tokens that have it. What a group leaves grows with them.
constexpr int64_t kMostRows = 256;
constexpr int64_t kLeastRows = 64;
constexpr int64_t kTokensOfList = 256;
// What groups leave between the phases. Fewer bytes are more chunks, whose sums of keys are read
// and written once each.
constexpr int64_t kMostSlotFloats = int64_t{1} << 24;
// Items of a chunk, for the workers: where smaller groups give them, and in any case.
constexpr int64_t kEnoughItems = 16;
constexpr int64_t kLeastItems = 4;

const attention::Source& SourceOf(const Args& a) { return a.attend.sources[0]; }
bool IsListed(const Args& a) { return SourceOf(a).list.ids != nullptr; }

int64_t UnitsOf(const Args& a, int64_t keys) {
  if (!IsListed(a)) return base::CeilDiv(keys, a.unit_keys);
  return Times(base::CeilDiv(keys, SourceOf(a).list.block), a.units_per_block);
}

void CutKeys(Args* args) {
  Args& a = *args;
  a.unit_keys = kMostUnitKeys;
  a.units_per_block = 1;
  if (IsListed(a)) {
    // Of blocks that hold all keys there is one.
    int64_t& block = a.attend.sources[0].list.block;
    block = std::min(block, RoundedUp(std::max<int64_t>(a.attend.max_keys, 1), kMostUnitKeys));
    a.unit_keys = std::min(block, kMostUnitKeys);
    a.units_per_block = base::CeilDiv(block, a.unit_keys);
  }
  a.units_per_item = kMostUnitKeys / a.unit_keys;
  a.max_units = UnitsOf(a, a.attend.max_keys);
}

// Units that one token sees at most.
int64_t UnitsSeen(const Args& a) {
  if (IsListed(a)) return std::min(Times(SourceOf(a).list.slots, a.units_per_block), a.max_units);
  const bool averages = a.attend.hidden_score != -__builtin_inff() && !a.attend.zero_hidden_rows;
  if (averages || SourceOf(a).window >= a.attend.max_keys) return a.max_units;
  return std::min(a.max_units, SourceOf(a).window / a.unit_keys + 2);
}

void CutQueries(Call* call) {
  Args& a = call->args;
  const std::vector<attention::Sequence>& sequences = call->forward.key_sequences;
  int64_t most = 1;
  for (const attention::Sequence& s : sequences) most = std::max(most, s.rows);
  const auto floats_of_group = [&](int64_t tokens) {
    a.tokens_per_group = std::min(most, std::max<int64_t>(tokens, 1));
    a.entries = Times(a.tokens_per_group, UnitsSeen(a));
    return std::max<int64_t>(Times(Slot(a).total, a.attend.kv_heads), 1);
  };
  int64_t rows = kMostRows;
  int64_t floats = floats_of_group(IsListed(a) ? kTokensOfList : rows / a.attend.group);
  const auto items = [&] { return kMostSlotFloats / floats * a.attend.kv_heads; };
  for (; !IsListed(a) && rows > kLeastRows && items() < kEnoughItems; rows /= 2)
    floats = floats_of_group(rows / 2 / a.attend.group);
  a.groups_per_chunk =
      std::max(base::CeilDiv(kLeastItems, a.attend.kv_heads), kMostSlotFloats / floats);
  CutGroups(sequences, a.tokens_per_group, &call->chunks);
  const auto groups = static_cast<int64_t>(call->chunks.groups.size());
  a.groups_per_chunk = std::min(a.groups_per_chunk, std::max<int64_t>(groups, 1));
}

}  // namespace

GradRows GradRowsOf(const attention::Rows& rows) {
  return {const_cast<uint8_t*>(rows.data), rows.row_stride, rows.head_stride, rows.page_stride};
}

void MakeWork(const CpuTarget& target, Call* call, CpuWork* work) {
  static constexpr KernelTable kQueries = {kAttentionGradQueriesUnits};
  static constexpr KernelTable kKeys = {kAttentionGradKeysUnits};
  Args& a = call->args;
  a.attend.sequences = call->forward.key_sequences.data();
  a.attend.sequence_count = static_cast<int64_t>(call->forward.key_sequences.size());
  CutKeys(&a);
  CutQueries(call);
  const bool wants_keys = a.key_grad.data != nullptr || a.value_grad.data != nullptr;
  const auto items_of = [&a](int64_t keys) {
    return base::CeilDiv(UnitsOf(a, keys), a.units_per_item);
  };
  AddChunks({.sequences = call->forward.key_sequences,
             .packed_keys = call->packed_keys,
             .key_batches = call->key_batches,
             .rows_of_batch = call->rows_of_batch,
             .groups_per_chunk = a.groups_per_chunk,
             .kv_heads = a.attend.kv_heads,
             .items_of = items_of,
             .of_queries = kQueries.at(target.level, a.attend.element),
             .of_keys = wants_keys ? kKeys.at(target.level, a.attend.element) : nullptr},
            &call->chunks, work);
  a.sum_rows = call->chunks.sum_rows;
  a.groups = call->chunks.groups.data();
  a.group_count = static_cast<int64_t>(call->chunks.groups.size());
  a.parts = call->chunks.parts.data();
  a.part_count = static_cast<int64_t>(call->chunks.parts.size());
  work->scratch_bytes = Times(Scratch(a).total, sizeof(float));
  work->shared_bytes = Times(Shared(a).total, sizeof(float));
}

std::string Blocking(const Call& call) {
  const Args& a = call.args;
  return std::to_string(a.tokens_per_group) + " tokens x " + std::to_string(a.attend.group) +
         " heads of a kv head per item, units of " + std::to_string(a.unit_keys) +
         " keys, chunks of " + std::to_string(a.groups_per_chunk) + " of " +
         std::to_string(a.group_count) + " groups of tokens";
}

}  // namespace tamis::prim::attention_grad

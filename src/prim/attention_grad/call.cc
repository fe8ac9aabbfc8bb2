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
  call->groups.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    for (int64_t t = 0; t < sequences[i].rows; t += a.tokens_per_group) {
      call->groups.push_back(
          {static_cast<int64_t>(i), t, std::min(a.tokens_per_group, sequences[i].rows - t)});
    }
  }
  const auto groups = static_cast<int64_t>(call->groups.size());
  a.groups_per_chunk = std::min(a.groups_per_chunk, std::max<int64_t>(groups, 1));
}

// Adds a part of the chunk's items.
void AddPart(Part part, Call* call, int64_t* items) {
  Args& a = call->args;
  part.item_begin = *items;
  const int64_t units = base::CeilDiv(UnitsOf(a, part.keys), a.units_per_item);
  *items = Plus(*items, Times(units, a.attend.kv_heads));
  if (units > 0 && a.attend.kv_heads > 0) call->parts.push_back(part);
}

// Key rows that no sequence with query tokens has: their gradients are 0.
void AddUnseen(Call* call, int64_t* items) {
  const std::vector<attention::Sequence>& sequences = call->forward.key_sequences;
  size_t next = 0;
  for (int64_t batch = 0; batch < call->key_batches; ++batch) {
    int64_t row = 0;
    const auto fill = [&](int64_t end) {
      if (end > row)
        AddPart({.sequence = -1,
                 .batch = batch,
                 .key_begin = row,
                 .keys = end - row,
                 .first = true,
                 .last = true},
                call, items);
    };
    for (; next < sequences.size() && (call->packed_keys || sequences[next].batch <= batch);
         ++next) {
      const attention::SequenceKeys& keys = sequences[next].of[0];
      if (sequences[next].padding || sequences[next].rows == 0 || keys.keys == 0) continue;
      fill(keys.key_begin);
      row = keys.key_begin + keys.keys;
    }
    fill(call->rows_of_batch);
  }
}

// Phases of one chunk, groups [first, first + count).
void AddChunk(int64_t first, int64_t count, const CpuTarget& target, Call* call, int64_t* items,
              CpuWork* work) {
  static constexpr KernelTable kQueries = {kAttentionGradQueriesUnits};
  static constexpr KernelTable kKeys = {kAttentionGradKeysUnits};
  const Args& a = call->args;
  work->phases.push_back({.items = count * a.attend.kv_heads,
                          .kernel = kQueries.at(target.level, a.attend.element),
                          .first = first * a.attend.kv_heads});
  const int64_t begin = *items;
  const int64_t all = static_cast<int64_t>(call->groups.size());
  const auto sequence_of = [&](int64_t group) {
    return call->groups[static_cast<size_t>(group)].sequence;
  };
  if (first == 0) AddUnseen(call, items);
  for (int64_t group = first; group < first + count;) {
    int64_t end = group;
    while (end < first + count && sequence_of(end) == sequence_of(group)) ++end;
    const attention::Sequence& s =
        call->forward.key_sequences[static_cast<size_t>(sequence_of(group))];
    const bool began = group > 0 && sequence_of(group - 1) == sequence_of(group);
    const bool goes_on = end < all && sequence_of(end) == sequence_of(group);
    if (!s.padding) {
      AddPart({.sequence = sequence_of(group),
               .batch = s.batch,
               .key_begin = s.of[0].key_begin,
               .keys = s.of[0].keys,
               .group_begin = group,
               .groups = end - group,
               .first = !began,
               .last = !goes_on},
              call, items);
    }
    group = end;
  }
  if (a.key_grad.data == nullptr && a.value_grad.data == nullptr) return;
  work->phases.push_back({.items = *items - begin,
                          .kernel = kKeys.at(target.level, a.attend.element),
                          .first = begin});
}

// Where the sums of sequences wait that go over the ends of chunks. In one chunk at most two do:
// one that ends there and one that begins.
void PlaceSums(Call* call) {
  int64_t waiting = 0;
  int64_t most = 0;
  for (Part& part : call->parts) {
    if (part.first && part.last) continue;
    if (part.first) ++waiting;
    part.sum_begin = (waiting + 1) % 2;
    most = std::max(most, part.keys);
  }
  for (Part& part : call->parts) part.sum_begin *= most;
  call->args.sum_rows = Times(std::min<int64_t>(waiting, 2), most);
}

}  // namespace

GradRows GradRowsOf(const attention::Rows& rows) {
  return {const_cast<uint8_t*>(rows.data), rows.row_stride, rows.head_stride, rows.page_stride};
}

void MakeWork(const CpuTarget& target, Call* call, CpuWork* work) {
  Args& a = call->args;
  a.attend.sequences = call->forward.key_sequences.data();
  a.attend.sequence_count = static_cast<int64_t>(call->forward.key_sequences.size());
  CutKeys(&a);
  CutQueries(call);
  call->parts.clear();
  int64_t items = 0;
  const auto groups = static_cast<int64_t>(call->groups.size());
  if (groups == 0) AddChunk(0, 0, target, call, &items, work);
  for (int64_t first = 0; first < groups; first += a.groups_per_chunk)
    AddChunk(first, std::min(a.groups_per_chunk, groups - first), target, call, &items, work);
  PlaceSums(call);
  a.groups = call->groups.data();
  a.group_count = groups;
  a.parts = call->parts.data();
  a.part_count = static_cast<int64_t>(call->parts.size());
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

// An item of the first phase: which keys its query tokens see, and which units those lie in.
#pragma once

#include "prim/attention/cpu/seen.h"
#include "prim/attention_grad/cpu/scratch.h"
#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention_grad {

using prim::RoundedUp;
using prim::attention::Heads;
using prim::attention::List;
using prim::attention::Range;
using prim::attention::SeenBy;
using prim::attention::Sequence;
using prim::attention::SlotsOf;
using prim::attention::Source;
using prim::attention_grad::Args;
using prim::attention_grad::Entry;
using prim::attention_grad::GradRows;
using prim::attention_grad::Group;
using prim::attention_grad::kBatchRows;
using prim::attention_grad::PaddedRows;
using prim::attention_grad::Part;
using prim::attention_grad::Scratch;
using prim::attention_grad::Shared;
using prim::attention_grad::Slot;
using prim::attention_grad::UnitBegin;

TAMIS_INLINE int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

inline const Source& SourceOf(const Args& a) { return a.attend.sources[0]; }

// --- units

inline int64_t BlockOf(const Args& a) {
  const List& list = SourceOf(a).list;
  return list.ids != nullptr ? list.block : a.unit_keys;
}

inline int64_t UnitsOf(const Args& a, int64_t keys) {
  return (keys + BlockOf(a) - 1) / BlockOf(a) * a.units_per_block;
}

// Positions of a unit of a sequence; none where its block ends before it.
inline Range PositionsOf(const Args& a, int64_t unit, int64_t keys) {
  const int64_t block = unit / a.units_per_block;
  const int64_t begin = block * BlockOf(a) + unit % a.units_per_block * a.unit_keys;
  const int64_t end = Smaller(Smaller(begin + a.unit_keys, (block + 1) * BlockOf(a)), keys);
  return {begin, end > begin ? end : begin};
}

// --- what tokens see

// A token that sees no key and takes the mean of all values.
constexpr int64_t kAverages = -1;

inline bool HidesAll(const Source& source, int64_t token, const Range& range) {
  if (source.hidden == nullptr) return range.begin >= range.end;
  const uint8_t* hidden = source.hidden + token * source.hidden_stride;
  int64_t key = range.begin;
  while (key < range.end && hidden[key] != 0) ++key;
  return key >= range.end;
}

// Of query token `token` of the sequence. Of a token that averages, {kAverages, keys}.
inline Range SeenByToken(const Args& a, const Sequence& s, int64_t token) {
  const Range range = SeenBy(a.attend, s, 0, token, true);
  if (!HidesAll(SourceOf(a), token, range)) return range;
  const bool averages =
      a.attend.hidden_score != -__builtin_inff() && !a.attend.zero_hidden_rows && s.of[0].keys > 0;
  if (averages) return {kAverages, s.of[0].keys};
  return {0, 0};
}

inline bool Sees(const Args& a, int64_t token, const Range& seen, int64_t position) {
  const Source& source = SourceOf(a);
  if (position < seen.begin || position >= seen.end) return false;
  return seen.begin == kAverages || source.hidden == nullptr ||
         source.hidden[token * source.hidden_stride + position] == 0;
}

inline bool SeesAll(const Args& a, const Range& seen, const Range& positions) {
  return seen.begin != kAverages && SourceOf(a).hidden == nullptr &&
         seen.begin <= positions.begin && positions.end <= seen.end;
}

// Calls body(unit) for every unit that a token sees a part of; as often as its list names it.
template <class Body>
TAMIS_INLINE void ForUnitsSeen(const Args& a, const Sequence& s, int64_t token, int64_t kv_head,
                               const Range& seen, const Body& body) {
  if (seen.begin >= seen.end) return;
  const List& list = SourceOf(a).list;
  if (list.ids == nullptr) {
    const int64_t begin = seen.begin == kAverages ? 0 : seen.begin;
    for (int64_t u = begin / a.unit_keys; u * a.unit_keys < seen.end; ++u) body(u);
    return;
  }
  const int32_t* ids =
      list.ids + OffsetOf(list.at, s.batch, s.token + token) + kv_head * list.head_stride;
  const int64_t slots = SlotsOf(list, seen);
  for (int64_t i = 0; i < slots && ids[i] >= 0; ++i) {
    for (int64_t part = 0; part < a.units_per_block; ++part) {
      const int64_t begin = ids[i] * list.block + part * a.unit_keys;
      if (begin >= seen.end) break;
      if (begin + a.unit_keys <= seen.begin) continue;
      body(ids[i] * a.units_per_block + part);
    }
  }
}

// --- what a group leaves

struct Tables {
  int64_t keys;  // of a unit, in whole lines
  UnitBegin* begins;
  Entry* entries;
  float* probabilities;
  float* scores;

  int64_t CountOf(int64_t unit) const { return begins[unit + 1].entry - begins[unit].entry; }
  const Entry* EntriesOf(int64_t unit) const { return entries + begins[unit].entry; }
  // Of the pairs of the batch that begins at row `first` of the unit.
  int64_t OffsetOf(int64_t unit, int64_t first) const { return (begins[unit].row + first) * keys; }
};

inline Tables TablesOf(const Args& a, int64_t group, int64_t kv_head, void* shared) {
  const Slot slot(a);
  const int64_t at = group % a.groups_per_chunk * a.attend.kv_heads + kv_head;
  float* const floats = static_cast<float*>(shared) + Shared(a).slots + at * slot.total;
  return {.keys = slot.keys,
          .begins = reinterpret_cast<UnitBegin*>(floats + slot.begins),
          .entries = reinterpret_cast<Entry*>(floats + slot.entries),
          .probabilities = floats + slot.probabilities,
          .scores = floats + slot.scores};
}

static_assert(sizeof(UnitBegin) == 4 * sizeof(float) && sizeof(Entry) == 2 * sizeof(float));
static_assert(sizeof(Range) == 4 * sizeof(float));

// Sorts what the group's tokens see by unit, then token. `marks` has room for a number per unit.
inline void FillIndex(const Args& a, const Group& group, int64_t kv_head, const Range* seen,
                      int32_t* marks, Tables* tables) {
  const Sequence& s = a.attend.sequences[group.sequence];
  const int64_t units = UnitsOf(a, s.of[0].keys);
  UnitBegin* const begins = tables->begins;
  const auto for_all = [&](const auto& body) __attribute__((always_inline)) {
    for (int64_t t = 0; t < group.tokens; ++t) {
      ForUnitsSeen(
          a, s, group.token + t, kv_head,
          seen[t], [&](int64_t u) __attribute__((always_inline)) { body(t, u); });
    }
  };
  for (int64_t u = 0; u <= units; ++u) begins[u] = {0, 0};
  for (int64_t u = 0; u < units; ++u) marks[u] = -1;
  for_all([&](int64_t t, int64_t u) __attribute__((always_inline)) {
    if (marks[u] != t) ++begins[u + 1].entry;
    marks[u] = static_cast<int32_t>(t);
  });
  for (int64_t u = 0; u < units; ++u) {
    const int64_t count = begins[u + 1].entry;
    begins[u + 1] = {begins[u].entry + count, begins[u].row + PaddedRows(a, count)};
    marks[u] = 0;
  }
  for_all([&](int64_t t, int64_t u) __attribute__((always_inline)) {
    Entry* const next = tables->entries + begins[u].entry + marks[u];
    if (marks[u] > 0 && next[-1].token == t) {
      ++next[-1].repeats;
    } else {
      *next = {static_cast<int32_t>(t), 1};
      ++marks[u];
    }
  });
}

}  // namespace attention_grad
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

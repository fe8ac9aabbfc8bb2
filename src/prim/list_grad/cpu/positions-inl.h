// Which positions a query token sees of its list: ascending, each once.
#pragma once

#include "prim/attention/cpu/seen.h"
#include "prim/list_grad/cpu/args.h"
#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace list_grad {

using prim::attention::List;
using prim::attention::Range;
using prim::attention::SeenBy;
using prim::attention::Sequence;
using prim::attention::SlotsOf;
using prim::attention::Source;
using prim::list_grad::Args;
using prim::list_grad::Group;
using prim::list_grad::kTileKeys;
using prim::list_grad::ListScratch;
using prim::list_grad::Shared;
using prim::list_grad::Slot;

TAMIS_INLINE int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// What a token leaves for the second phase.
struct Token {
  int64_t count = 0;  // positions
  int32_t* positions = nullptr;
  float* tables = nullptr;
  int64_t table_floats = 0;
  float* table(int64_t i) const { return tables + i * table_floats; }
};

inline float* SlotOf(const Args& a, int64_t group, const Slot& slot, void* shared) {
  return static_cast<float*>(shared) + Shared(a).slots + group % a.tokens_per_chunk * slot.total;
}
inline Token TokenIn(float* at, const Slot& slot) {
  Token token;
  __builtin_memcpy(&token.count, at + slot.count, sizeof(token.count));
  token.positions = reinterpret_cast<int32_t*>(at + slot.positions);
  token.tables = at + slot.tables;
  token.table_floats = slot.table_floats;
  return token;
}

// Visits the positions of a token's list in its order, as often as it names them, by slot and
// position.
template <class Visit>
TAMIS_INLINE void ForListed(const Args& a, const Sequence& s, int64_t token, const Visit& visit) {
  const List& list = a.attend.sources[0].list;
  const Range seen = SeenBy(a.attend, s, 0, token, true);
  if (seen.begin >= seen.end) return;
  const int32_t* ids = list.ids + OffsetOf(list.at, s.batch, s.token + token);
  const int64_t slots = SlotsOf(list, seen);
  for (int64_t i = 0; i < slots && ids[i] >= 0; ++i) {
    const int64_t first = ids[i] * list.block;
    const int64_t end = Smaller(first + list.block, seen.end);
    for (int64_t position = first < seen.begin ? seen.begin : first; position < end; ++position)
      visit(i, position);
  }
}

// Says how many positions there are, and whether each is larger than the one before.
struct Listed {
  int64_t count;
  bool ascending;
};
inline Listed ListPositions(const Args& a, const Sequence& s, int64_t token, int32_t* to) {
  Listed listed = {0, true};
  int64_t before = -1;
  ForListed(a, s, token, [&](int64_t /*slot*/, int64_t position) {
    listed.ascending = listed.ascending && position > before;
    before = position;
    to[listed.count++] = static_cast<int32_t>(position);
  });
  return listed;
}

// Sorts by one digit after the other; the result is in `from`.
inline void SortPositions(int64_t count, int64_t keys, int32_t* counts, int32_t*& from,
                          int32_t*& to) {
  constexpr int64_t kDigits = ListScratch::kDigits;
  for (int shift = 0; keys >> shift > 0; shift += ListScratch::kDigitBits) {
    const auto digit = [&](int32_t position) { return (position >> shift) & (kDigits - 1); };
    for (int64_t d = 0; d < kDigits; ++d) counts[d] = 0;
    for (int64_t i = 0; i < count; ++i) ++counts[digit(from[i])];
    int32_t begin = 0;
    for (int64_t d = 0; d < kDigits; ++d) {
      const int32_t of_digit = counts[d];
      counts[d] = begin;
      begin += of_digit;
    }
    for (int64_t i = 0; i < count; ++i) to[counts[digit(from[i])]++] = from[i];
    int32_t* const sorted = to;
    to = from;
    from = sorted;
  }
}

// Fills the token's slot with its positions; `repeats` says how often the list names each. True
// where it names one more than once.
inline bool FindPositions(const Args& a, const Group& group, float* scratch, float* at,
                          Token* token) {
  const Sequence& s = a.attend.sequences[group.sequence];
  const Slot slot(a);
  const ListScratch parts(a);
  auto* const positions = reinterpret_cast<int32_t*>(at + slot.positions);
  auto* from = reinterpret_cast<int32_t*>(scratch + parts.unsorted);
  int32_t* to = positions;
  const Listed listed = ListPositions(a, s, group.token, from);
  if (!listed.ascending) {
    SortPositions(listed.count, s.of[0].keys, reinterpret_cast<int32_t*>(scratch + parts.counts),
                  from, to);
  }
  float* const repeats = scratch + parts.repeats;
  int64_t count = 0;
  for (int64_t i = 0; i < listed.count; ++i) {
    if (count > 0 && positions[count - 1] == from[i]) {
      repeats[count - 1] += 1.0f;
    } else {
      positions[count] = from[i];  // `from` may be `positions`, and count is not past i
      repeats[count++] = 1.0f;
    }
  }
  __builtin_memcpy(at + slot.count, &count, sizeof(count));
  *token = TokenIn(at, slot);
  return count < listed.count;
}

// Of a token that sees nothing, whatever its list is.
inline void FindNone(const Args& a, float* at, Token* token) {
  const Slot slot(a);
  const int64_t count = 0;
  __builtin_memcpy(at + slot.count, &count, sizeof(count));
  *token = TokenIn(at, slot);
}

// The first of `count` ascending positions that is not before `position`.
inline int64_t FirstFrom(const int32_t* positions, int64_t count, int64_t position) {
  int64_t low = 0;
  while (low < count) {
    const int64_t middle = (low + count) / 2;
    if (positions[middle] < position) {
      low = middle + 1;
    } else {
      count = middle;
    }
  }
  return low;
}

// Row of a position.
inline const uint8_t* RowAt(const prim::attention::Rows& rows, const Sequence& s,
                            int64_t position) {
  return rows.data + s.batch * rows.page_stride + (s.of[0].key_begin + position) * rows.row_stride;
}
// Of a head of a query token.
inline uint8_t* HeadAt(const prim::attention::Heads& heads, const Sequence& s, int64_t token,
                       int64_t head) {
  return heads.data + OffsetOf(heads.at, s.batch, s.token + token) + head * heads.head_stride;
}

}  // namespace list_grad
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

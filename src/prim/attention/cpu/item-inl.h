// An item of attention: some query tokens of a sequence, and heads of one kv head or of several;
// and which keys its tokens see.
#pragma once

#include "prim/attention/cpu/scratch.h"
#include "prim/attention/cpu/seen.h"
#include "prim/blocks/int16_scores-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

using prim::attention::Args;
using prim::attention::Cut;
using prim::attention::Heads;
using prim::attention::kHeadGroup;
using prim::attention::kMostKeyTile;
using prim::attention::kMostMembers;
using prim::attention::kMostSources;
using prim::attention::kValueStrip;
using prim::attention::List;
using prim::attention::Range;
using prim::attention::Rows;
using prim::attention::Scratch;
using prim::attention::SeenBy;
using prim::attention::Segments;
using prim::attention::SegmentsOf;
using prim::attention::Sequence;
using prim::attention::SequenceKeys;
using prim::attention::SlotsOf;
using prim::attention::Source;
using prim::attention::Task;
using prim::attention::VisibleTokens;

constexpr float kMinusInfinity = -__builtin_inff();
// Where a row's maximum begins: above -inf, so that exp(-inf - maximum) is 0 for a row that has met
// nothing else, too.
constexpr float kLowest = -3.402823466e38f;

// What a softmax over some of the keys leaves: sum exp(s - max) value, max, sum exp(s - max).
struct State {
  float* out;
  float* max;
  float* sum;
};

// Where a source's rows of the item's sequence and kv head begin.
struct Bases {
  const uint8_t* key;
  const uint8_t* key_rope;
  const uint8_t* value;
};

// One member of an item: the heads of one kv head. Rows are tokens x heads, token-major.
struct Item {
  const Args& a;
  const Sequence& s;
  const Scratch& at;
  int64_t member;
  int64_t kv_head;
  int64_t head;   // first query head
  int64_t heads;  // per token
  int64_t token;  // first, within the sequence
  int64_t tokens;
  int64_t rows;       // in use
  int64_t vectors;    // of them
  int64_t columns;    // of a key
  int64_t dim_pairs;  // of a key in integers
  bool ahead;         // rows are copied a tile ahead
  bool loaded;        // whole values are copied into scratch, a tile ahead
  bool int16;         // values are summed in 16-bit integers, where they are in range
  bool int16_scores;
  bool queries_packed;
  Segments segments;
  Bases from[kMostSources];
  bool fetches[kMostSources];  // rows are asked for ahead
  Range span[kMostSources];    // positions that any token needs
  Range* seen;
  uint8_t* nothing;  // by token: it sees no key
  uint8_t* needed;
  float* query;
  int32_t* int16_query;
  float* query_factor;
  Quanta* quanta;  // of groups of heads
  float* key;
  float* value;
  float* widened;
  float* inverse;
  float* key_step;
  float* scores;
  float* tile_max;
  int32_t* weights;
  float* alpha;
  float* factor;
  float* group_sums;
  float* block_scores;
  uint64_t* heap;
  float* states;

  int64_t OffsetOf(const tamis::prim::Tokens& to, int64_t t) const {
    return tamis::prim::OffsetOf(to, s.batch, s.token + token + t);
  }
  State Total() const { return StateAt(states + at.total_state); }
  State Segment() const { return StateAt(states + at.segment_state); }
  State StateAt(float* floats) const {
    float* max = floats + at.rows * at.out_stride;
    return {floats, max, max + at.rows};
  }
};

static_assert(sizeof(Quanta) <= prim::attention::kQuantaFloats * sizeof(float));
static_assert(sizeof(Range) == 4 * sizeof(float));

TAMIS_INLINE int64_t Groups(int64_t rows) { return (rows + kHeadGroup - 1) / kHeadGroup; }

// One past the last zero of mask[0, count); 0 where all is set. Eight bytes at a time:
// (w - 0x01..) & ~w & 0x80.. finds a zero byte.
inline int64_t PastLastZero(const uint8_t* mask, int64_t count) {
  while (count >= 8) {
    uint64_t word;
    __builtin_memcpy(&word, mask + count - 8, 8);
    if (((word - 0x0101010101010101u) & ~word & 0x8080808080808080u) != 0) break;
    count -= 8;
  }
  while (count > 0 && mask[count - 1] != 0) --count;
  return count;
}

// Of the first source, the only one that may have a mask.
TAMIS_INLINE const uint8_t* MaskOf(const Item& it, int64_t t) {
  return it.a.sources[0].hidden + (it.token + t) * it.a.sources[0].hidden_stride;
}

TAMIS_INLINE Range* SeenOf(const Item& it, int64_t source) {
  return it.seen + source * it.a.tokens_per_item;
}

// Whether a token that sees no key averages the values of all.
TAMIS_INLINE bool Averages(const Item& it) {
  return it.a.hidden_score != kMinusInfinity && !it.a.zero_hidden_rows;
}

// How many keys of each tile are needed where a mask says so: none of what lies past the diagonal
// of a causal one.
inline void FindNeeded(const Item& it, const Range& span, bool every) {
  for (int64_t first = 0; first < span.end; first += it.a.key_tile) {
    const int64_t count = span.end - first < it.a.key_tile ? span.end - first : it.a.key_tile;
    int64_t needed = every ? count : 0;
    for (int64_t t = 0; t < it.tokens && needed < count; ++t) {
      const int64_t end = SeenOf(it, 0)[t].end - first;
      const int64_t last = PastLastZero(MaskOf(it, t) + first, end < count ? end : count);
      needed = last > needed ? last : needed;
    }
    it.needed[first / it.a.key_tile] = static_cast<uint8_t>(needed);
  }
}

// Whether token t sees no key of source `i`, what its position lets it see being known.
inline bool SeesNone(const Item& it, int64_t i, int64_t t) {
  const Range& seen = SeenOf(it, i)[t];
  const bool masked = i == 0 && it.a.sources[0].hidden != nullptr;
  return seen.begin == seen.end || (masked && PastLastZero(MaskOf(it, t), seen.end) <= seen.begin);
}

// Fills in what each token sees of source `i`, and whether it sees nothing. Returns the positions
// that any of them needs, from the first to the last; a token that averages needs every key.
inline Range FindSeen(const Item& it, int64_t i) {
  const int64_t keys = it.s.of[i].keys;
  const bool masked = i == 0 && it.a.sources[0].hidden != nullptr;
  Range span = {INT64_MAX, 0};
  bool every = false;
  for (int64_t t = 0; t < it.tokens; ++t) {
    const Range seen = SeenBy(it.a, it.s, i, it.token + t, true);
    SeenOf(it, i)[t] = seen;
    const bool none = SeesNone(it, i, t);
    const bool averages = none && keys > 0 && Averages(it);
    every = every || averages;
    it.nothing[t] = none && !averages && (i == 0 || it.nothing[t] != 0) ? 1 : 0;
    if (none) continue;
    span.begin = seen.begin < span.begin ? seen.begin : span.begin;
    span.end = seen.end > span.end ? seen.end : span.end;
  }
  if (every) span = {0, keys};
  if (span.begin >= span.end) return {0, 0};
  if (masked) FindNeeded(it, span, every);
  return span;
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// Which keys a query token sees, and how its walk over them is cut: what plans and kernels both
// ask.
#pragma once

#include "prim/attention/cpu/args.h"
#include "prim/call/scratch.h"

namespace tamis::prim::attention {

/// Positions [begin, end).
struct Range {
  int64_t begin;
  int64_t end;
};

/// Tiles that give one state, and how many of such segments there are at most.
struct Segments {
  int64_t tiles;
  int64_t count;
};

// Positions that give one state. Fixed, so that a row's result does not depend on how the work was
// cut; longer only where a row would have too many of them.
inline constexpr int64_t kSegment = 512;
inline constexpr int64_t kMostSegments = 16;

namespace {  // inline functions: no level's copy may be merged with another's

/// Tokens of keys that query token `token` of a sequence sees, by its position.
inline int64_t VisibleTokens(const SequenceKeys& keys, int64_t token) {
  return keys.visible + token * keys.visible_step;
}

/// The keys of source `i` that query token `token` of a sequence sees, masks and lists left out,
/// and unless `limited` limits too: of those a plan knows nothing.
inline Range SeenBy(const Args& a, const Sequence& s, int64_t i, int64_t token, bool limited) {
  const Source& source = a.sources[i];
  const SequenceKeys& keys = s.of[i];
  int64_t end = VisibleTokens(keys, token);
  if (source.staircase.block != 1 || source.staircase.stride != 1) {
    const int64_t beyond = end - source.staircase.block;
    end = beyond < 0 ? 0 : beyond / source.staircase.stride + 1;
  }
  if (limited && source.limits != nullptr) {
    const int64_t limit = source.limits[OffsetOf(source.limits_at, s.batch, s.token + token)];
    end = limit < end ? limit : end;
  }
  end = end < keys.keys ? end : keys.keys;
  if (s.padding || end <= keys.first) return {0, 0};
  const int64_t begin = end - source.window;
  return {begin > keys.first ? begin : keys.first, end};
}

/// How many slots of a list are looked at: unless all, where it has more than there are blocks, the
/// first so many.
inline int64_t SlotsOf(const List& list, const Range& seen) {
  if (list.all) return list.slots;
  const int64_t blocks = (seen.end + list.block - 1) / list.block;
  return list.slots < blocks ? list.slots : blocks;
}

inline Segments SegmentsOf(const Args& a, const Sequence& s, int64_t token) {
  if (!a.segmented) return {INT64_MAX, 1};
  int64_t most = (a.source_count - 1) * a.key_tile;  // tiles hold positions of one source
  for (int64_t i = 0; i < a.source_count; ++i) {
    const Range seen = SeenBy(a, s, i, token, false);
    const List& list = a.sources[i].list;
    most += list.ids != nullptr ? SlotsOf(list, seen) * list.block : seen.end - seen.begin;
  }
  int64_t segment = (most + kMostSegments - 1) / kMostSegments;
  segment = segment < kSegment ? kSegment : RoundedUp(segment, a.key_tile);
  return {segment / a.key_tile, (most + segment - 1) / segment};
}

}  // namespace

}  // namespace tamis::prim::attention

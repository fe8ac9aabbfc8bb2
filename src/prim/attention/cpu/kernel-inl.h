// Attention, one level: softmax(scale Q K) V over the keys of an item, whatever they are.
//
// An item is a few query tokens of a sequence and the heads of one kv head, or of several where
// rows are few. Rows = tokens x heads, token-major, lie on the lanes. Keys come in tiles, scores
// are held transposed, S[key][row]: keys need widening only, the softmax is lane-wise, and a tile
// is one product of broadcast keys with a panel of queries that stays in L1.
//
//   walk:     the positions that some token needs, in tiles (walk-inl.h)
//   scores:   S = scale K Q; K widened once per tile (as pairs of bfloat16, copied; or made
//             integers), Q packed once
//   hide:     S = hidden_score where a token does not see a key
//   softmax:  online; e = exp(S - running max) replaces S
//   values:   O = alpha O + e V; V widened once per tile, a strip of columns at a time, or whole in
//             pairs of 16-bit integers
//
// Tiles come in segments. Each gives a state (out, max, sum) of its own and states are merged in
// order, by the worker itself or, where items are few and their segments go to several workers, in
// a phase of its own: the same operations in the same order, so the same bits.
//
//   importance: P = e exp(tile max - max) / sum, summed over the group, then over a block's band.
//               Where the e of all keys are kept, every score is computed once; where they would
//               not fit, this computes them again (importance-inl.h).
#include "prim/attention/cpu/importance-inl.h"
#include "prim/blocks/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

struct Place {
  const Sequence& s;
  int64_t token;
  int64_t tokens;
  int64_t kv_head;
  int64_t head_block;
};
inline Place PlaceOf(const Args& a, int64_t index) {
  const Sequence& s =
      a.sequences[LastBeginningBy(a.sequences, a.sequence_count, &Sequence::item_begin, index)];
  const int64_t items = (s.rows + a.tokens_per_item - 1) / a.tokens_per_item;
  const int64_t heads = a.kv_heads / a.members;
  const int64_t block = (index - s.item_begin) / a.head_blocks;
  const int64_t token = (a.tokens_first ? block % items : block / heads) * a.tokens_per_item;
  const int64_t rest = s.rows - token;
  return {.s = s,
          .token = token,
          .tokens = rest < a.tokens_per_item ? rest : a.tokens_per_item,
          .kv_head = (a.tokens_first ? block / items : block % heads) * a.members,
          .head_block = (index - s.item_begin) % a.head_blocks};
}

// How many of the item's tokens one walk serves, from its first on: lists are compared, and which
// block is the last that a token sees.
inline int64_t TokensOfOneWalk(const Args& a, const Place& place) {
  const List& list = a.sources[0].list;
  if (!list.shared) return place.tokens;
  const auto ids = [&](int64_t token) {
    return list.ids + OffsetOf(list.at, place.s.batch, place.s.token + token) +
           place.kv_head * list.head_stride;
  };
  const auto blocks = [&](int64_t token) {
    return (SeenBy(a, place.s, 0, token, true).end + list.block - 1) / list.block;
  };
  const int64_t end = place.token + place.tokens;
  int64_t token = place.token + 1;
  while (token < end && blocks(token) == blocks(place.token) &&
         __builtin_memcmp(ids(token), ids(place.token), static_cast<size_t>(list.slots) * 4) == 0)
    ++token;
  return token - place.token;
}

TAMIS_INLINE const uint8_t* BaseOf(const Args& a, const Source& source, const Rows& rows,
                                   const Sequence& s, int64_t i, int64_t kv_head) {
  if (rows.data == nullptr) return nullptr;
  const int64_t first = source.page_table != nullptr
                            ? 0
                            : s.batch * rows.page_stride + s.of[i].key_begin * rows.row_stride;
  return rows.data + first + (a.kv_heads > 1 ? kv_head * rows.head_stride : 0);
}

// Of more rows than these, keys and values that fit into L2 are not asked for ahead: the items
// before have left them there. Beside 4096 keys of 640 bytes, asking takes 4% off a call.
constexpr int64_t kFewRows = 32;
constexpr int64_t kCachedBytes = 512 << 10;

// `packed`: where the item's queries are packed already; null: in scratch, and not yet. `spans`: of
// another member of the item, whose tokens see the same; null: to be found.
inline Item MakeItem(const Args& a, const Scratch& at, const Place& place, int64_t member,
                     int64_t slot, float* scratch, float* packed, const Range* spans) {
  const Sequence& s = place.s;
  const int64_t kv_head = place.kv_head + member;
  const int64_t first = place.head_block * a.head_block;
  const int64_t heads = a.group - first < a.head_block ? a.group - first : a.head_block;
  const int64_t rows = place.tokens * heads;
  const bool int16 = kInt16 && heads >= a.least_int16_heads;
  // A block of few heads takes columns where others take integers.
  const bool int16_scores = !kBf16Pairs && int16 && a.int16_scores;
  // Keys that tokens share are in caches more often.
  const bool ahead = a.ahead && (place.tokens == 1 || !a.sources[0].list.shared);
  const bool queries_packed = packed != nullptr && int16_scores == a.int16_scores;
  float* state = scratch + at.states + member * at.state_floats;
  float* queries = queries_packed ? packed : state + at.packed_queries;
  const int64_t copy = slot * a.members + member;
  Item it = {
      .a = a,
      .s = s,
      .at = at,
      .member = member,
      .kv_head = kv_head,
      .head = kv_head * a.group + first,
      .heads = heads,
      .token = place.token,
      .tokens = place.tokens,
      .rows = rows,
      .vectors = (rows + kLanes - 1) / kLanes,
      .columns = ColumnsOf(a.dim) + ColumnsOf(a.rope_dim),
      .dim_pairs = DimPairsOf(a.dim) + DimPairsOf(a.rope_dim),
      .ahead = ahead,
      .loaded = ahead && !a.value_in_key && !(int16 && a.storage),
      .int16 = int16 && a.storage,
      .int16_scores = int16_scores,
      .queries_packed = queries_packed,
      .segments = SegmentsOf(a, s, place.token),
      .from = {},
      .fetches = {},
      .span = {},
      .seen = reinterpret_cast<Range*>(scratch + at.seen),
      .nothing = reinterpret_cast<uint8_t*>(scratch + at.nothing),
      .needed = reinterpret_cast<uint8_t*>(scratch + at.needed),
      .query = a.int16_scores ? state + at.query : queries,
      .int16_query = reinterpret_cast<int32_t*>(queries),
      .query_factor = queries + (at.query_factor - at.int16_query),
      .quanta = reinterpret_cast<Quanta*>(queries + (at.quanta - at.int16_query)),
      .key = scratch + at.key + copy * at.key_floats,
      .value = scratch + at.value + copy * at.value_floats,
      .widened = scratch + at.widened,
      .inverse = scratch + at.inverse + copy * a.key_tile,
      .key_step = scratch + at.key_step,
      .scores = state + at.scores,
      .tile_max = state + at.tile_max,
      .weights = reinterpret_cast<int32_t*>(scratch + at.weights),
      .alpha = state + at.alpha,
      .factor = scratch + at.factor,
      .group_sums = state + at.group_sums,
      .block_scores = scratch + at.block_scores,
      .heap = reinterpret_cast<uint64_t*>(scratch + at.heap),
      .states = state,
  };
  for (int64_t i = 0; i < a.source_count; ++i) {
    const Source& source = a.sources[i];
    it.from[i] = {.key = BaseOf(a, source, source.key, s, i, kv_head),
                  .key_rope = BaseOf(a, source, source.key_rope, s, i, kv_head),
                  .value = BaseOf(a, source, source.value, s, i, kv_head)};
    it.span[i] = spans != nullptr ? spans[i] : FindSeen(it, i);
    const int64_t key_bytes = (a.dim + a.rope_dim + a.value_dim) * BytesOf(a.element);
    it.fetches[i] = source.list.ids != nullptr || at.rows <= kFewRows ||
                    (it.span[i].end - it.span[i].begin) * key_bytes > kCachedBytes;
  }
  return it;
}

// Tile after tile of one member, whose rows are loaded when their turn comes.
class Loader {
 public:
  explicit Loader(const Item& it) : it_(it), panels_(!it.int16_scores) {
    if (!it.queries_packed) PrefetchQueries(it);
    for (int64_t i = 0; i < Groups(it.rows); ++i) {
      if (!it.queries_packed) PackGroup(it, i);
      if (it.int16_scores) queries_.Add(it.quanta[i]);
    }
  }
  void BeginSegment() { integers_ = it_.int16_scores && queries_.fit; }

  void Attend(const State& state, const Tile& tile, const Tile& next, bool first) {
    const Item& it = it_;
    float* scores = ScoresOf(it, tile);
    // One tile that loses too much, and the segment's others are not tried.
    integers_ = integers_ && PairUpAll(it, queries_, tile);
    bool paired = integers_;
    if (integers_) {
      PrefetchPages(it, next);
      Int16Scores(it, tile.count, scores);
    } else {
      if (!panels_) PackColumns(it);
      panels_ = true;
      paired = LoadTile(it, tile, it.int16);
      PrefetchPages(it, next);
      Scores<false>(it, tile.count, scores, nullptr);
      if (paired && !it.a.value_in_key) paired = PairUpTile(it, tile);
    }
    AddTile(it, state, tile, first, paired, nullptr);
  }

 private:
  const Item& it_;
  Quanta queries_;
  bool panels_;  // queries are packed as columns
  bool integers_ = false;
};

// Softmax and values of the positions of segments [first, first + count). Their states are merged
// into `to`; `other` is room for one more. Returns whether there was a position.
__attribute__((noinline)) bool Attend(const Item& it, int64_t first, int64_t count, State to,
                                      State other) {
  Cursor cursor = StartOf(it, 0);
  if (first > 0) Skip(it, &cursor, first * it.segments.tiles);
  Tile tiles[2];
  int current = 0;
  NextTile(it, &cursor, &tiles[0]);
  if (tiles[0].count == 0) return false;
  PrefetchPages(it, tiles[0]);
  Loader loader(it);
  const State states[] = {to, other};
  for (int64_t segment = 0; segment < count && tiles[current].count > 0; ++segment) {
    const State& state = states[segment > 0];
    Begin(it, state);
    loader.BeginSegment();
    for (int64_t i = 0; i < it.segments.tiles && tiles[current].count > 0; ++i) {
      Tile& next = tiles[1 - current];
      NextTile(it, &cursor, &next);
      loader.Attend(state, tiles[current], next, i == 0);
      current = 1 - current;
    }
    if (segment > 0) MergeStates(it, 0, it.vectors, states, 2);
  }
  return true;
}

// The same where rows are copied a tile ahead, for one member or, without segments, for several.
// One slot of their scratch has the rows of the tile that is worked on, the other those of the
// next.
__attribute__((noinline)) bool AttendAhead(const Item* const (&slots)[2], int64_t first,
                                           int64_t count, State to, State other) {
  const Item* members = slots[0];
  const int64_t most = members->a.members;
  const State own[] = {to, other};
  const auto state_of = [&](int64_t m, int64_t segment) {
    return most > 1 ? members[m].Total() : own[segment > 0];
  };
  Cursor cursor = StartOf(*members, 0);
  if (first > 0) Skip(*members, &cursor, first * members->segments.tiles);
  Tile tiles[2];
  NextTile(*members, &cursor, &tiles[0]);
  if (tiles[0].count == 0) return false;
  PrefetchPages(*members, tiles[0]);
  for (int64_t m = 0; m < most && !members->queries_packed; ++m) {
    PrefetchQueries(members[m]);
    PackColumns(members[m]);
  }
  RowCopy copies[2];
  copies[0] = RowCopy(slots[0], tiles[0], 1);
  copies[0].Finish();
  int slot = 0;
  for (int64_t segment = 0; segment < count && tiles[slot].count > 0; ++segment) {
    for (int64_t m = 0; m < most; ++m) Begin(members[m], state_of(m, segment));
    for (int64_t i = 0; i < members->segments.tiles && tiles[slot].count > 0; ++i) {
      const Tile& tile = tiles[slot];
      Tile& next = tiles[1 - slot];
      NextTile(*members, &cursor, &next);
      RowCopy& copy = copies[1 - slot];
      copy = next.count > 0 ? RowCopy(slots[1 - slot], next, most * WorkOf(*members, tile.count))
                            : RowCopy();
      PrefetchPages(*members, next);
      for (int64_t m = 0; m < most; ++m) {
        const Item& it = slots[slot][m];
        Scores<true>(it, tile.count, ScoresOf(it, tile), &copy);
        AddTile(it, state_of(m, segment), tile, i == 0, copies[slot].Paired(m), &copy);
      }
      copy.Finish();
      slot = 1 - slot;
    }
    if (segment > 0) MergeStates(*members, 0, members->vectors, own, 2);
  }
  return true;
}

inline void Finish(const Item& it, bool any) {
  if (any) {
    Write(it, 0, it.vectors, it.Total());
  } else {
    for (int64_t row = 0; row < it.rows; ++row) WriteEmpty(it, row);
  }
  if (it.a.selection.wanted) SelectBlocks(it);
}

// What workers share of cut items: packed queries, then states.
inline Item CutItem(const Args& a, const Scratch& at, int64_t cut, int64_t slot, void* scratch,
                    void* shared) {
  return MakeItem(a, at, PlaceOf(a, a.cuts[cut].item), 0, slot, static_cast<float*>(scratch),
                  static_cast<float*>(shared) + cut * at.packed_query_floats, nullptr);
}
inline State PartialAt(const Item& it, int64_t partial, void* shared) {
  return it.StateAt(static_cast<float*>(shared) + it.a.cut_count * it.at.packed_query_floats +
                    partial * it.at.state);
}

// All of an item's tokens with one walk.
inline void AttendTokens(const Args& a, const Scratch& at, const Place& place, float* floats) {
  const Item first = MakeItem(a, at, place, 0, 0, floats, nullptr, nullptr);
  const auto make = [&](int64_t member, int64_t slot) {
    return MakeItem(a, at, place, member < a.members ? member : 0, slot, floats, nullptr,
                    first.span);
  };
  if (!first.ahead)
    return Finish(first, Attend(first, 0, first.segments.count, first.Total(), first.Segment()));
  if (a.members == 1) {
    const Item other = make(0, 1);
    return Finish(first, AttendAhead({&first, &other}, 0, first.segments.count, first.Total(),
                                     first.Segment()));
  }
  static_assert(kMostMembers == 4);
  const Item slots[2][kMostMembers] = {{make(0, 0), make(1, 0), make(2, 0), make(3, 0)},
                                       {make(0, 1), make(1, 1), make(2, 1), make(3, 1)}};
  const bool any = AttendAhead({slots[0], slots[1]}, 0, 1, first.Total(), first.Segment());
  for (int64_t m = 0; m < a.members; ++m) Finish(slots[0][m], any);
}

constexpr int64_t kGroupVectors = kHeadGroup / kLanes;

}  // namespace attention
}  // namespace

void Attention(const void* args, int64_t item, void* scratch, void*) {
  using namespace attention;
  const auto& a = *static_cast<const Args*>(args);
  const Scratch at(a);
  Place place = PlaceOf(a, item);
  const int64_t end = place.token + place.tokens;
  for (; place.token < end; place.token += place.tokens) {
    place.tokens = end - place.token;
    place.tokens = TokensOfOneWalk(a, place);
    AttendTokens(a, at, place, static_cast<float*>(scratch));
  }
}

void AttentionQueries(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace attention;
  const auto& a = *static_cast<const Args*>(args);
  const Scratch at(a);
  const int64_t groups = Groups(at.rows);
  const Item it = CutItem(a, at, item / groups, 0, scratch, shared);
  const int64_t group = item % groups;
  if (it.queries_packed && group < Groups(it.rows) && a.cuts[item / groups].partials > 0)
    PackGroup(it, group);
}

void AttentionSegment(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace attention;
  const auto& a = *static_cast<const Args*>(args);
  const Task& task = a.tasks[item];
  const Scratch at(a);
  const Item it = CutItem(a, at, task.cut, 0, scratch, shared);
  const State state = PartialAt(it, task.partial, shared);
  if (a.ahead) {
    const Item other = CutItem(a, at, task.cut, 1, scratch, shared);
    if (AttendAhead({&it, &other}, task.segment, 1, state, state)) return;
  } else if (Attend(it, task.segment, 1, state, state)) {
    return;
  }
  for (int64_t row = 0; row < it.rows; ++row) state.sum[row] = -1.0f;  // none: no position
}

void AttentionMerge(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace attention;
  const auto& a = *static_cast<const Args*>(args);
  const Scratch at(a);
  const int64_t groups = Groups(at.rows);
  const Cut& cut = a.cuts[item / groups];
  const Item it = CutItem(a, at, item / groups, 0, scratch, shared);
  const int64_t begin = item % groups * kGroupVectors;
  const int64_t end = it.vectors < begin + kGroupVectors ? it.vectors : begin + kGroupVectors;
  if (begin >= end) return;
  State states[prim::attention::kMostSegments];
  int64_t count = 0;
  for (; count < cut.partials; ++count) {
    states[count] = PartialAt(it, cut.partial + count, shared);
    if (states[count].sum[begin * kLanes] < 0.0f)
      break;  // the segments after the last position are empty
  }
  if (count > 0) {
    MergeStates(it, begin, end, states, count);
    return Write(it, begin, end, states[0]);
  }
  for (int64_t row = begin * kLanes; row < end * kLanes && row < it.rows; ++row)
    WriteEmpty(it, row);
}

}  // namespace tamis::TAMIS_LEVEL

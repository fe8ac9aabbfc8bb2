// sparse_flash_attention, one level: an item is a query token and up to 128 of its heads, which lie
// on the lanes.
//
// The row's selected positions are walked in tiles of 128 keys. A tile is gathered through the page
// table and widened once (keys as pairs of bfloat16 stay as they are, or become integers); it gives
// the scores, S[key][head] = K Q, and then, its first columns being the values, O += e V. Positions
// come in segments. Each gives a state (out, max, sum) of its own and states are merged in order,
// by the worker itself or, where rows are few and their segments go to several workers, in a phase
// of its own: the same operations in the same order, so the same bits.
#include "ops/sparse_flash_attention/cpu/tile-inl.h"
#include "prim/blocks/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_attention {

inline void Begin(const Item& it, const State& state) {
  for (int64_t i = 0; i < it.vectors * kLanes; ++i) {
    state.max[i] = kMinusInfinity;
    state.sum[i] = 0.0f;
  }
}

// The first state becomes the one over the keys of all `count`, merged in order, each read once.
// All have some. The others' sum and max become what `out` so far and their own are multiplied by.
inline void MergeStates(const Item& it, const State* states, int64_t count) {
  if (count == 1) return;
  const State& to = states[0];
  for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
    V max = Load(to.max + v);
    V sum = Load(to.sum + v);
    for (int64_t i = 1; i < count; ++i) {
      const State& from = states[i];
      const V before = max;
      max = Max(before, Load(from.max + v));
      const V a = ExpNonPositive(Sub(before, max));
      const V b = ExpNonPositive(Sub(Load(from.max + v), max));
      sum = Fma(Load(from.sum + v), b, Mul(sum, a));
      Store(from.sum + v, a);
      Store(from.max + v, b);
    }
    Store(to.max + v, max);
    Store(to.sum + v, sum);
  }
  for (int64_t head = 0; head < it.heads; ++head) {
    const int64_t row = head * it.at.value_dim;
    for (int64_t c = row; c < row + it.at.value_dim; c += kLanes) {
      V out = Load(to.out + c);
      for (int64_t i = 1; i < count; ++i) {
        const State& from = states[i];
        out = Fma(Load(from.out + c), Set(from.max[head]), Mul(out, Set(from.sum[head])));
      }
      Store(to.out + c, out);
    }
  }
}

// A sink is a key without a value.
inline void AddSinks(const Item& it, const State& state) {
  for (int64_t head = 0; head < it.heads; head += kLanes) {
    const int count = it.heads - head < kLanes ? static_cast<int>(it.heads - head) : kLanes;
    const V sink = LoadN(it.a.sinks + it.head + head, count);
    const V before = Load(state.max + head);
    const V max = Max(before, sink);
    const V a = ExpNonPositive(Sub(before, max));
    Store(state.sum + head, Fma(Load(state.sum + head), a, ExpNonPositive(Sub(sink, max))));
    Store(state.max + head, max);
    Store(it.alpha + head, a);
  }
  for (int64_t head = 0; head < it.heads; ++head) {
    float* out = state.out + head * it.at.value_dim;
    const V a = Set(it.alpha[head]);
    for (int64_t c = 0; c < it.at.value_dim; c += kLanes) Store(out + c, Mul(Load(out + c), a));
  }
}

inline void WriteHead(const Item& it, int64_t head, float max, float sum, const float* values,
                      float factor) {
  const KernelArgs& a = it.a;
  uint16_t* out = a.out + OffsetOf(it, a.out_at) + (it.head + head) * a.out_head_stride;
  if (values != nullptr) {
    Narrow(a.element, values, factor, a.latent_dim, out);
  } else {
    for (int64_t c = 0; c < a.latent_dim; ++c) out[c] = 0;
  }
  if (a.max != nullptr) a.max[OffsetOf(it, a.max_at) + it.head + head] = max;
  if (a.sum != nullptr) a.sum[OffsetOf(it, a.sum_at) + it.head + head] = sum;
}

inline void Write(const Item& it, const State& state) {
  if (it.a.sinks != nullptr) AddSinks(it, state);
  for (int64_t head = 0; head < it.heads; ++head) {
    const float sum = state.sum[head];
    const float max = sum != sum ? sum : state.max[head];  // NaN among the scores
    WriteHead(it, head, max, sum, state.out + head * it.at.value_dim, 1.0f / sum);
  }
}

// A row without a position: a query that sees nothing, or padding.
inline void WriteEmpty(const Item& it) {
  const bool sinks = it.a.sinks != nullptr && !it.s.padding;
  for (int64_t head = 0; head < it.heads; ++head) {
    const float max = sinks ? it.a.sinks[it.head + head] : kMinusInfinity;
    WriteHead(it, head, max, sinks ? (max != max ? max : 1.0f) : 0.0f, nullptr, 0.0f);
  }
}

// Softmax and values of the positions of segments [first, first + count). Their states are merged
// into `to`; `other` is room for one more. Returns whether there was a position.
__attribute__((noinline)) bool Attend(const Item& it, int64_t first, int64_t count, State to,
                                      State other) {
  Cursor cursor = {0, 0};
  Skip(it, &cursor, first * it.walk.segment);
  Tile tiles[2];
  int current = 0;
  NextTile(it, &cursor, &tiles[0]);
  if (tiles[0].count == 0) return false;
  PrefetchPages(it, tiles[0]);
  const int64_t groups = Groups(it.heads);
  for (int64_t i = 0; i < groups && !it.queries_packed; ++i) PackGroup(GroupOf(it, i));
  Quanta queries;
  for (int64_t i = 0; i < groups && it.int16_scores; ++i) queries.Add(it.quanta[i]);
  const State states[] = {to, other};
  bool panels = !it.int16_scores;  // of columns, not of integers
  const int64_t tiles_per_segment = it.walk.segment / kKeyTile;
  for (int64_t segment = 0; segment < count && tiles[current].count > 0; ++segment) {
    const State& state = states[segment > 0];
    Begin(it, state);
    bool integers = it.int16_scores && queries.fit;
    for (int64_t i = 0; i < tiles_per_segment && tiles[current].count > 0; ++i) {
      const Tile& tile = tiles[current];
      Tile& next = tiles[1 - current];
      NextTile(it, &cursor, &next);
      // One tile that loses too much, and the segment's others are not tried.
      integers = integers && PairUpTile(it, queries, tile);
      bool int16 = integers;
      if (integers) {
        PrefetchPages(it, next);
        Int16Scores(it, tile.count);
      } else {
        if (!panels) PackQueries(it);
        panels = true;
        int16 = LoadTile(it, tile);
        PrefetchPages(it, next);
        Scores(it, tile.count);
      }
      if (int16) {
        SoftmaxTile(it.vectors, it.at.score_stride, tile.count, it.scores, state.max, state.sum,
                    it.alpha, WeightRange{it.inverse, it.factor});
        Int16Values(it, state, i == 0, tile.count);
      } else {
        SoftmaxTile(it.vectors, it.at.score_stride, tile.count, it.scores, state.max, state.sum,
                    it.alpha);
        if (kBf16Pairs && it.int16) WidenValues(it, tile);
        Values(it, state, i == 0, tile.count);
      }
      current = 1 - current;
    }
    if (segment > 0) MergeStates(it, states, 2);
  }
  return true;
}

// Of a sequence's first row.
inline int64_t OffsetOf(const KernelArgs& a, const Rows& rows, const Sequence& s) {
  return a.page_table != nullptr ? 0 : s.batch * rows.page_stride + s.key_begin * rows.row_stride;
}

// `packed`: where the item's queries are packed already; null: in scratch, and not yet.
inline Item MakeItem(const KernelArgs& a, const Scratch& at, int64_t row, int64_t head_block,
                     float* scratch, float* packed) {
  const Sequence& s =
      a.sequences[LastBeginningBy(a.sequences, a.sequence_count, &Sequence::row_begin, row)];
  const int64_t token = row - s.row_begin;
  const int64_t head = head_block * a.head_block;
  const int64_t heads = a.heads - head < a.head_block ? a.heads - head : a.head_block;
  // A block of few heads takes columns where others take integers.
  const bool int16_scores = kInt16 && !kBf16Pairs && a.int16_scores && heads >= kTileHeight;
  const bool queries_packed = packed != nullptr && int16_scores == a.int16_scores;
  float* queries = queries_packed ? packed : scratch + at.packed_queries;
  return {
      .a = a,
      .s = s,
      .at = at,
      .walk = Walk(a, s, token),
      .token = token,
      .head = head,
      .heads = heads,
      .vectors = (heads + kLanes - 1) / kLanes,
      .columns = ColumnsOf(a.latent_dim) + ColumnsOf(a.rope_dim),
      .key_offset = OffsetOf(a, a.key, s),
      .key_rope_offset = OffsetOf(a, a.key_rope, s),
      .value_offset = OffsetOf(a, a.value, s),
      .ids = a.indices + tamis::prim::OffsetOf(a.indices_at, s.batch, s.token + token),
      .query = a.int16_scores ? scratch + at.query : queries,
      .key = scratch + at.key,
      .value = scratch + (kBf16Pairs || a.value.data != nullptr ? at.value : at.key),
      .int16 = kInt16 && a.storage && heads >= kTileHeight,
      .int16_value = reinterpret_cast<int32_t*>(scratch + at.int16_value),
      .inverse = scratch + at.inverse,
      .int16_scores = int16_scores,
      .dim_pairs = DimPairsOf(a.latent_dim) + DimPairsOf(a.rope_dim),
      .int16_query = reinterpret_cast<int32_t*>(queries),
      .query_factor = queries + (at.query_factor - at.int16_query),
      .quanta = reinterpret_cast<Quanta*>(queries + (at.quanta - at.int16_query)),
      .queries_packed = queries_packed,
      .key_step = scratch + at.key_step,
      .scores = scratch + at.scores,
      .alpha = scratch + at.alpha,
      .factor = scratch + at.factor,
  };
}

// What workers share of cut rows: packed queries, then states.
inline Item CutItem(const KernelArgs& a, const Scratch& at, int64_t cut, void* scratch,
                    void* shared) {
  return MakeItem(a, at, a.cuts[cut].row, a.cuts[cut].head_block, static_cast<float*>(scratch),
                  static_cast<float*>(shared) + cut * at.packed_query_floats);
}
inline State PartialAt(const KernelArgs& a, const Scratch& at, int64_t partial, void* shared) {
  return StateAt(
      at, static_cast<float*>(shared) + a.cut_count * at.packed_query_floats + partial * at.state);
}

}  // namespace sparse_attention
}  // namespace

void SparseFlashAttention(const void* args, int64_t item, void* scratch, void*) {
  using namespace sparse_attention;
  const auto& a = *static_cast<const KernelArgs*>(args);
  auto* floats = static_cast<float*>(scratch);
  const Scratch at(a);
  const Item it = MakeItem(a, at, item / a.head_blocks, item % a.head_blocks, floats, nullptr);
  const State state = StateAt(at, floats + at.before);
  if (Attend(it, 0, it.walk.segments, state, StateAt(at, floats + at.segment))) {
    Write(it, state);
  } else {
    WriteEmpty(it);
  }
}

void SparseFlashAttentionQueries(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace sparse_attention;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Scratch at(a);
  const int64_t cut = item / Groups(a.head_block);
  const int64_t group = item % Groups(a.head_block);
  const Item it = CutItem(a, at, cut, scratch, shared);
  if (it.queries_packed && group < Groups(it.heads) && a.cuts[cut].partials > 0)
    PackGroup(GroupOf(it, group));
}

void SparseFlashAttentionSegment(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace sparse_attention;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Task& task = a.tasks[item];
  const Scratch at(a);
  const Item it = CutItem(a, at, task.cut, scratch, shared);
  const State state = PartialAt(a, at, task.partial, shared);
  if (Attend(it, task.segment, 1, state, state)) return;
  for (int64_t head = 0; head < it.heads; ++head) state.sum[head] = -1.0f;  // none: no position
}

void SparseFlashAttentionMerge(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace sparse_attention;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Scratch at(a);
  const int64_t index = item / Groups(a.head_block);
  const int64_t group = item % Groups(a.head_block);
  const Cut& cut = a.cuts[index];
  const Item whole = CutItem(a, at, index, scratch, shared);
  if (group >= Groups(whole.heads)) return;
  const Item it = GroupOf(whole, group);
  State states[sparse_flash_attention::kMostSegments];
  int64_t count = 0;
  for (; count < cut.partials; ++count) {
    states[count] = GroupOf(at, PartialAt(a, at, cut.partial + count, shared), group);
    if (states[count].sum[0] < 0.0f) break;  // the segments after the last position are empty
  }
  if (count == 0) return WriteEmpty(it);
  MergeStates(it, states, count);
  Write(it, states[0]);
}

}  // namespace tamis::TAMIS_LEVEL

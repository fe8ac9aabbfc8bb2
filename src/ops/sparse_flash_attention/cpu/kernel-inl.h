// sparse_flash_attention, one level: an item is a query token and up to 128 of its heads, which lie
// on the lanes.
//
// The row's selected positions are walked in tiles of 128 keys. A tile is gathered through the page
// table and widened once (keys as pairs stay as they are, or become integers); it gives the scores,
// S[key][head] = K Q, and then, its first columns being the values, O += e V. Positions come in
// segments. Each gives a state (out, max, sum) of its own and states are merged in order, by the
// worker itself or, where rows are few and their segments go to several workers, in a second phase:
// the same operations in the same order, so the same bits.
#include "ops/sparse_flash_attention/cpu/tile-inl.h"
#include "prim/cpu/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_attention {

inline void Begin(const Item& it, const State& state) {
  for (int64_t i = 0; i < it.vectors * kLanes; ++i) {
    state.max[i] = kMinusInfinity;
    state.sum[i] = 0.0f;
  }
}

// to becomes the state over the keys of both. Both have some.
inline void MergeStates(const Item& it, const State& to, const State& from) {
  for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
    const V max = Max(Load(to.max + v), Load(from.max + v));
    const V a = ExpNonPositive(Sub(Load(to.max + v), max));
    const V b = ExpNonPositive(Sub(Load(from.max + v), max));
    Store(to.sum + v, Fma(Load(from.sum + v), b, Mul(Load(to.sum + v), a)));
    Store(to.max + v, max);
    Store(it.alpha + v, a);
    Store(from.max + v, b);
  }
  for (int64_t head = 0; head < it.heads; ++head) {
    const V a = Set(it.alpha[head]);
    const V b = Set(from.max[head]);
    float* to_out = to.out + head * it.at.value_dim;
    const float* from_out = from.out + head * it.at.value_dim;
    for (int64_t c = 0; c < it.at.value_dim; c += kLanes)
      Store(to_out + c, Fma(Load(from_out + c), b, Mul(Load(to_out + c), a)));
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
  uint16_t* out = a.out + it.s.out_offset + it.token * a.out_token_stride +
                  (it.head + head) * a.out_head_stride;
  if (values != nullptr) {
    Narrow(a.bfloat16, values, factor, a.latent_dim, out);
  } else {
    for (int64_t c = 0; c < a.latent_dim; ++c) out[c] = 0;
  }
  if (a.max != nullptr)
    a.max[it.s.max_offset + it.token * a.max_token_stride + it.head + head] = max;
  if (a.sum != nullptr)
    a.sum[it.s.sum_offset + it.token * a.sum_token_stride + it.head + head] = sum;
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
  Quanta queries;
  bool panels = !it.int16_scores;  // of columns, not of integers
  if (it.int16_scores) {
    queries = PairUpQueries(it);
  } else {
    PackQueries(it);
  }
  const int64_t tiles_per_segment = it.walk.segment / kKeyTile;
  for (int64_t segment = 0; segment < count && tiles[current].count > 0; ++segment) {
    const State& state = segment == 0 ? to : other;
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
        Int16Scores(it, next, tile.count);
      } else {
        if (!panels) PackQueries(it);
        panels = true;
        int16 = LoadTile(it, tile);
        Scores(it, next, tile.count);
      }
      SoftmaxTile(it.vectors, it.at.score_stride, tile.count, it.scores, state.max, state.sum,
                  it.alpha);
      if (int16) {
        Int16Values(it, state, i == 0, tile.count);
      } else {
        if (kPairs && it.int16) WidenValues(it, tile);
        Values(it, state, i == 0, tile.count);
      }
      current = 1 - current;
    }
    if (segment > 0) MergeStates(it, to, other);
  }
  return true;
}

inline Item MakeItem(const KernelArgs& a, const Scratch& at, int64_t row, int64_t head_block,
                     float* scratch) {
  const Sequence& s =
      a.sequences[LastBeginningBy(a.sequences, a.sequence_count, &Sequence::row_begin, row)];
  const int64_t token = row - s.row_begin;
  const int64_t head = head_block * a.head_block;
  const int64_t heads = a.heads - head < a.head_block ? a.heads - head : a.head_block;
  return {a,
          s,
          at,
          Walk(a, s, token),
          token,
          head,
          heads,
          (heads + kLanes - 1) / kLanes,
          ColumnsOf(a.latent_dim) + ColumnsOf(a.rope_dim),
          a.indices + s.indices_offset + token * a.indices_token_stride,
          scratch + at.query,
          scratch + at.key,
          scratch + (kPairs || a.value.data != nullptr ? at.value : at.key),
          kInt16 && a.storage && heads >= kTileHeight,
          reinterpret_cast<int32_t*>(scratch + at.value_pairs),
          scratch + at.inverse,
          kInt16 && !kPairs && a.int16_scores && heads >= kTileHeight,
          PairsOf(a.latent_dim) + PairsOf(a.rope_dim),
          reinterpret_cast<int32_t*>(scratch + at.query_pairs),
          scratch + at.query_factor,
          scratch + at.key_step,
          scratch + at.scores,
          scratch + at.alpha,
          scratch + at.factor};
}

}  // namespace sparse_attention
}  // namespace

void SparseFlashAttention(const void* args, int64_t item, void* scratch, void*) {
  using namespace sparse_attention;
  const auto& a = *static_cast<const KernelArgs*>(args);
  auto* floats = static_cast<float*>(scratch);
  const Scratch at(a);
  const Item it = MakeItem(a, at, item / a.head_blocks, item % a.head_blocks, floats);
  const State state = StateAt(at, floats + at.before);
  if (Attend(it, 0, it.walk.segments, state, StateAt(at, floats + at.segment))) {
    Write(it, state);
  } else {
    WriteEmpty(it);
  }
}

void SparseFlashAttentionSegment(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace sparse_attention;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Task& task = a.tasks[item];
  auto* floats = static_cast<float*>(scratch);
  const Scratch at(a);
  const Item it = MakeItem(a, at, task.row, task.head_block, floats);
  const State state = StateAt(at, static_cast<float*>(shared) + task.partial * at.state);
  if (Attend(it, task.segment, 1, state, state)) return;
  for (int64_t head = 0; head < it.heads; ++head) state.sum[head] = -1.0f;  // none: no position
}

void SparseFlashAttentionMerge(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace sparse_attention;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Merge& merge = a.merges[item];
  const Scratch at(a);
  const Item it = MakeItem(a, at, merge.row, merge.head_block, static_cast<float*>(scratch));
  float* partials = static_cast<float*>(shared) + merge.partial * at.state;
  const State state = StateAt(at, partials);
  if (merge.partials == 0 || state.sum[0] < 0.0f) return WriteEmpty(it);
  for (int64_t i = 1; i < merge.partials; ++i) {
    const State next = StateAt(at, partials + i * at.state);
    if (next.sum[0] < 0.0f) break;  // the segments after the last position are empty
    MergeStates(it, state, next);
  }
  Write(it, state);
}

}  // namespace tamis::TAMIS_LEVEL

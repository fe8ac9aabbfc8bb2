// sparse_flash_attention, one level: an item is a query token and up to 128 of its heads, which lie
// on the lanes.
//
// The row's selected positions are walked in tiles of 128 keys. A tile is gathered through the page
// table and widened once (keys as pairs stay as they are); it gives the scores, S[key][head] = K Q,
// and then, its first columns being the values, O += e V. Positions come in segments. Each gives a
// state (out, max, sum) of its own and states are merged in order, by the worker itself or, where
// rows are few and their segments go to several workers, in a second phase: the same operations in
// the same order, so the same bits.
#include "ops/sparse_flash_attention/cpu/kernel.h"
#include "prim/cpu/attention_tile-inl.h"
#include "prim/cpu/find-inl.h"
#include "prim/cpu/int16_values-inl.h"
#include "prim/cpu/kv_row-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_attention {

using sparse_flash_attention::Heads;
using sparse_flash_attention::KernelArgs;
using sparse_flash_attention::kKeyTile;
using sparse_flash_attention::Merge;
using sparse_flash_attention::Rows;
using sparse_flash_attention::Scratch;
using sparse_flash_attention::Sequence;
using sparse_flash_attention::Task;
using sparse_flash_attention::Walk;

constexpr float kMinusInfinity = -__builtin_inff();

// What a softmax over some of the keys leaves: sum exp(s - max) value, max, sum exp(s - max).
struct State {
  float* out;
  float* max;
  float* sum;
};

struct Item {
  const KernelArgs& a;
  const Sequence& s;
  const Scratch& at;
  Walk walk;
  int64_t token;  // of the sequence
  int64_t head;   // first
  int64_t heads;
  int64_t vectors;  // of heads
  int64_t columns;  // of a key
  const int32_t* ids;
  float* query;
  float* key;
  float* value;  // fp32, as far apart as keys; may be `key`
  bool int16;    // values are summed in 16-bit integers, where they are in range
  int32_t* value_pairs;
  float* inverse;
  float* scores;
  float* alpha;
  float* factor;
};

// Positions of a tile, as pages and slots (page 0 where keys are not paged).
struct Tile {
  int64_t count;
  int32_t page[kKeyTile];
  int32_t slot[kKeyTile];
};

// Where a walk over the selected positions stands.
struct Cursor {
  int64_t slot;    // of the ids
  int64_t offset;  // within its block
};

TAMIS_INLINE State StateAt(const Scratch& at, float* floats) {
  float* max = floats + at.rows * at.value_dim;
  return {floats, max, max + at.rows};
}

// --- the selection
// -------------------------------------------------------------------------------------------------

// The next run of at most `most` adjacent positions, from *begin; returns its length, 0 at the end.
TAMIS_INLINE int64_t NextRun(const Item& it, Cursor* at, int64_t most, int64_t* begin) {
  while (at->slot < it.walk.slots) {
    const int64_t id = it.ids[at->slot];
    if (id < 0) {
      at->slot = it.walk.slots;
      return 0;
    }
    const int64_t first = id * it.a.block_size;
    const int64_t end =
        first + it.a.block_size < it.walk.visible ? first + it.a.block_size : it.walk.visible;
    *begin = first + at->offset;
    const int64_t left = end - *begin;
    if (left > most) {
      at->offset += most;
      return most;
    }
    ++at->slot;
    at->offset = 0;
    if (left > 0) return left;  // else beyond the keys or the diagonal: never read
  }
  return 0;
}

inline void Skip(const Item& it, Cursor* at, int64_t positions) {
  int64_t begin = 0;
  while (positions > 0) {
    const int64_t run = NextRun(it, at, positions, &begin);
    if (run == 0) return;
    positions -= run;
  }
}

inline void NextTile(const Item& it, Cursor* at, Tile* tile) {
  tile->count = 0;
  while (tile->count < kKeyTile) {
    int64_t begin = 0;
    const int64_t run = NextRun(it, at, kKeyTile - tile->count, &begin);
    if (run == 0) return;
    for (int64_t position = begin; position < begin + run; ++position, ++tile->count) {
      // Positions are below 2^31: 32-bit division is faster.
      const auto p = static_cast<uint32_t>(position);
      if (it.a.page_table == nullptr) {
        tile->page[tile->count] = 0;
        tile->slot[tile->count] = static_cast<int32_t>(p);
      } else {
        const auto size = static_cast<uint32_t>(it.a.page_size);
        tile->page[tile->count] = it.a.page_table[it.s.table_offset + p / size];
        tile->slot[tile->count] = static_cast<int32_t>(p % size);
      }
    }
  }
}

// --- queries and keys
// ----------------------------------------------------------------------------------------------

inline void PackHeads(const Item& it, const Heads& heads, int64_t offset, int64_t dim,
                      int64_t begin) {
  for (int64_t v = 0; v < it.vectors; ++v) {
    const uint16_t* from[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int64_t head = v * kLanes + i;
      from[i] = head < it.heads ? heads.data + offset + it.token * heads.token_stride +
                                      (it.head + head) * heads.head_stride
                                : nullptr;
    }
    PackRows(it.a.bfloat16, from, dim, it.query + (v * it.columns + ColumnsOf(begin)) * kLanes);
  }
}

inline void PackQueries(const Item& it) {
  PackHeads(it, it.a.query, it.s.query_offset, it.a.latent_dim, 0);
  if (it.a.rope_dim == 0) return;
  PackHeads(it, it.a.query_rope, it.s.query_rope_offset, it.a.rope_dim, it.a.latent_dim);
}

TAMIS_INLINE const uint8_t* RowOf(const Rows& rows, int64_t offset, const Tile& tile, int64_t k) {
  return rows.data + offset + tile.page[k] * rows.page_stride + tile.slot[k] * rows.row_stride;
}
TAMIS_INLINE const uint16_t* HalvesOf(const Rows& rows, int64_t offset, const Tile& tile,
                                      int64_t k) {
  return reinterpret_cast<const uint16_t*>(RowOf(rows, offset, tile, k));
}

// Rows come from random places: 4 on their way keep memory busy. Asking for a tile of them ahead,
// while the one before is worked on, takes as long: what costs is not the lines but the entries of
// their pages, and a prefetch waits for those. Inlined by force: gcc 12 takes a function that only
// prefetches for one without effect and drops its calls.
constexpr int64_t kRowsAhead = 3;

TAMIS_INLINE void PrefetchBytes(const uint8_t* row, int64_t bytes) {
  for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(row + byte, 0, 3);
}
// Asks for the entries of a row's pages.
TAMIS_INLINE void PrefetchPages(const Item& it, const Tile& tile, int64_t k) {
  if (k >= tile.count) return;
  __builtin_prefetch(RowOf(it.a.key, it.s.key_offset, tile, k), 0, 2);
  if (it.a.key_rope.data != nullptr)
    __builtin_prefetch(RowOf(it.a.key_rope, it.s.key_rope_offset, tile, k), 0, 2);
}

TAMIS_INLINE void PrefetchRow(const Item& it, const Tile& tile, int64_t k) {
  if (k >= tile.count) return;
  const int64_t key_bytes = it.a.packed ? it.a.row.width() : 2 * it.a.latent_dim;
  PrefetchBytes(RowOf(it.a.key, it.s.key_offset, tile, k), key_bytes);
  if (it.a.key_rope.data != nullptr)
    PrefetchBytes(RowOf(it.a.key_rope, it.s.key_rope_offset, tile, k), 2 * it.a.rope_dim);
  if (it.a.value.data != nullptr)
    PrefetchBytes(RowOf(it.a.value, it.s.value_offset, tile, k), 2 * it.a.latent_dim);
}

// Key k of the tile, latent then rope, and the values that lie in its latent part.
TAMIS_INLINE void LoadKey(const Item& it, const Tile& tile, int64_t k) {
  const KernelArgs& a = it.a;
  float* key = it.key + k * it.at.key_stride;
  float* value = it.value + k * it.at.key_stride;
  if (a.packed) {
    const uint8_t* row = RowOf(a.key, it.s.key_offset, tile, k);
    WidenKvLatent(a.bfloat16, a.row, row, value);
    WidenKvRope(a.bfloat16, a.row, row, value + a.latent_dim);
    if (kPairs) {
      key[it.columns - 1] = 0.0f;  // half of it remains where dims are odd
      Narrow(true, value, 1.0f, it.at.dim, reinterpret_cast<uint16_t*>(key));  // exact
    }
    return;
  }
  const uint16_t* latent = HalvesOf(a.key, it.s.key_offset, tile, k);
  Spread(a.bfloat16, latent, a.latent_dim, key);
  if (a.rope_dim > 0) {
    Spread(a.bfloat16, HalvesOf(a.key_rope, it.s.key_rope_offset, tile, k), a.rope_dim,
           key + ColumnsOf(a.latent_dim));
  }
  if (a.value.data != nullptr) latent = HalvesOf(a.value, it.s.value_offset, tile, k);
  if (value != key && !(kPairs && it.int16)) Widen(a.bfloat16, latent, a.latent_dim, value);
}

// The value of key k in bfloat16, at levels of pairs: beside its key, or in it.
TAMIS_INLINE const uint16_t* ValueHalves(const Item& it, const Tile& tile, int64_t k) {
  if (it.a.value.data != nullptr) return HalvesOf(it.a.value, it.s.value_offset, tile, k);
  return reinterpret_cast<const uint16_t*>(it.key + k * it.at.key_stride);
}

// Values of keys k and k + 1, where there is one more, as pairs. Returns whether they are in range.
TAMIS_INLINE bool PairUpValues(const Item& it, const Tile& tile, int64_t k) {
  const bool two = k + 1 < tile.count;
  int32_t* to = it.value_pairs + k / 2 * it.at.key_stride;
  if constexpr (kPairs) {
    return PairValues<BF16>(ValueHalves(it, tile, k), two ? ValueHalves(it, tile, k + 1) : nullptr,
                            it.a.latent_dim, to, it.inverse + k);
  } else {
    const float* first = it.value + k * it.at.key_stride;
    return PairValues<F16>(first, two ? first + it.at.key_stride : nullptr, it.a.latent_dim, to,
                           it.inverse + k);
  }
}

// Keys and values of the tile; zeros up to a whole register tile. Returns whether values are pairs
// of integers.
inline bool LoadTile(const Item& it, const Tile& tile) {
  bool int16 = it.int16;
  for (int64_t k = 0; k < kRowsAhead; ++k) PrefetchRow(it, tile, k);
  for (int64_t k = 0; k < tile.count; ++k) {
    PrefetchRow(it, tile, k + kRowsAhead);
    LoadKey(it, tile, k);
    if (int16 && (k % 2 == 1 || k + 1 == tile.count)) int16 = PairUpValues(it, tile, k & ~1);
  }
  for (int64_t k = tile.count; k % (2 * kTileHeight) != 0; ++k) {
    for (int64_t c = 0; c < it.columns; ++c) it.key[k * it.at.key_stride + c] = 0.0f;
  }
  return int16;
}

// Where values were meant to be integers and are out of range.
inline void WidenValues(const Item& it, const Tile& tile) {
  for (int64_t k = 0; k < tile.count; ++k) {
    Widen(true, ValueHalves(it, tile, k), it.a.latent_dim, it.value + k * it.at.key_stride);
  }
}

// --- a tile
// --------------------------------------------------------------------------------------------------------

template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, const Tile& next, int64_t k, int64_t v) {
  if (v == 0) {
    for (int64_t i = k; i < k + kKeys; ++i) PrefetchPages(it, next, i);
  }
  V sum[kKeys][kVectors];
  ProductTile<kStride>(it.key + k * it.at.key_stride, it.at.key_stride,
                       it.query + v * it.columns * kLanes, it.columns, sum);
  const V scale = Set(it.a.scale);
  for (int i = 0; i < kKeys; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      Store(it.scores + (k + i) * it.at.score_stride + (v + j) * kLanes, Mul(sum[i][j], scale));
    }
  }
}

template <int64_t kStride>
inline void ScoreTiles(const Item& it, const Tile& next, int64_t count) {
  ForTiles(
      count, it.vectors,
      [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
        ScoreTile<kStride, decltype(height)::value, decltype(width)::value>(it, next, k, v);
      });
}

inline void Scores(const Item& it, const Tile& next, int64_t count) {
  switch (it.at.key_stride) {
    case prim::kNarrowKeyStride: return ScoreTiles<prim::kNarrowKeyStride>(it, next, count);
    case prim::kWideKeyStride: return ScoreTiles<prim::kWideKeyStride>(it, next, count);
    default: return ScoreTiles<0>(it, next, count);
  }
}

TAMIS_INLINE int64_t VectorsOfValues(const Item& it) {
  return (it.a.latent_dim + kLanes - 1) / kLanes;
}

// Columns of out for the heads [row, row + kRows), kVectors vectors at a time and then one.
template <int kRows, int kVectors>
inline void ValueRows(const Item& it, const State& to, bool first, int64_t count, int64_t row) {
  int64_t c = 0;
  for (; c + kVectors * kLanes <= it.at.value_dim; c += kVectors * kLanes) {
    ValueTile<kRows, kVectors>(first, it.scores + row, it.at.score_stride, it.value + c,
                               it.at.key_stride, count, it.alpha + row,
                               to.out + row * it.at.value_dim + c, it.at.value_dim);
  }
  for (; c < it.a.latent_dim; c += kLanes) {
    ValueTile<kRows, 1>(first, it.scores + row, it.at.score_stride, it.value + c, it.at.key_stride,
                        count, it.alpha + row, to.out + row * it.at.value_dim + c, it.at.value_dim);
  }
}

// Not inlined, as Attend: in one function with all else, gcc 12 keeps addresses of the inner loops
// on the stack.
__attribute__((noinline)) void Values(const Item& it, const State& to, bool first, int64_t count) {
  const int64_t whole = it.heads / kTileHeight * kTileHeight;
  // A strip stays in L1 for all heads.
  ForWidths(
      VectorsOfValues(it), [&](auto width, int64_t v) __attribute__((always_inline)) {
        const int64_t c = v * kLanes;
        for (int64_t row = 0; row < whole; row += kTileHeight) {
          ValueTile<kTileHeight, decltype(width)::value>(
              first, it.scores + row, it.at.score_stride, it.value + c, it.at.key_stride, count,
              it.alpha + row, to.out + row * it.at.value_dim + c, it.at.value_dim);
        }
      });
  int64_t row = whole;
  if (it.heads - row >= 4) {
    ValueRows<4, 2>(it, to, first, count, row);
    row += 4;
  }
  if (it.heads - row >= 2) {
    ValueRows<2, 4>(it, to, first, count, row);
    row += 2;
  }
  if (row < it.heads) ValueRows<1, 8>(it, to, first, count, row);
}

__attribute__((noinline)) void Int16Values(const Item& it, const State& to, bool first,
                                           int64_t count) {
  auto* weights = reinterpret_cast<int32_t*>(it.scores);
  PairWeights(it.vectors, it.at.score_stride, count, it.scores, it.inverse, weights, it.factor);
  const int64_t pairs = (count + 1) / 2;
  ForWidths(
      VectorsOfValues(it), [&](auto width, int64_t v) __attribute__((always_inline)) {
        const int64_t c = v * kLanes;
        for (int64_t row = 0; row < it.heads; row += kTileHeight) {
          Int16ValueTile<kTileHeight, decltype(width)::value>(
              first, weights + row, it.at.score_stride, it.value_pairs + c, it.at.key_stride, pairs,
              it.alpha + row, it.factor + row, to.out + row * it.at.value_dim + c, it.at.value_dim);
        }
      });
}

// --- states
// --------------------------------------------------------------------------------------------------------

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

// --- items
// ---------------------------------------------------------------------------------------------------------

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
  PackQueries(it);
  const int64_t tiles_per_segment = it.walk.segment / kKeyTile;
  for (int64_t segment = 0; segment < count && tiles[current].count > 0; ++segment) {
    const State& state = segment == 0 ? to : other;
    Begin(it, state);
    for (int64_t i = 0; i < tiles_per_segment && tiles[current].count > 0; ++i) {
      const Tile& tile = tiles[current];
      Tile& next = tiles[1 - current];
      NextTile(it, &cursor, &next);
      const bool int16 = LoadTile(it, tile);
      Scores(it, next, tile.count);
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

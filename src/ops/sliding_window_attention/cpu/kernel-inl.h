// sliding_window_attention, one level: an item is a few neighbouring query tokens and one kv head.
//
// Rows = tokens x heads of the group, token-major, lie on the lanes. The keys of the item, from the
// first key of its first token's window to its last token's own, come in tiles of 64 positions of
// the sequence, so that a row meets the same tiles whatever other tokens are in its item. Scores
// are held transposed, S[key][row]:
//   scores:  S = scale K Q  K widened once per tile (or, as pairs of bfloat16, copied), Q
//   transposed once window:  S = -inf where a token does not see a key; only in tiles at the ends
//   softmax: online; e = exp(S - running max) replaces S
//   values:  O = alpha O + e V, V widened once per tile, a strip of columns at a time
#include "ops/sliding_window_attention/cpu/kernel.h"
#include "prim/blocks/attention_tile-inl.h"
#include "prim/blocks/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sliding_window {

using sliding_window_attention::KernelArgs;
using sliding_window_attention::kKeyTile;
using sliding_window_attention::kValueStrip;
using sliding_window_attention::Rows;
using sliding_window_attention::Scratch;
using sliding_window_attention::Sequence;

constexpr float kMinusInfinity = -__builtin_inff();
// Where a row's maximum begins: above -inf, so that the e of hidden keys is exp(-inf) = 0 for a row
// that has seen none yet, too.
constexpr float kLowest = -3.402823466e38f;

static_assert(kTileWidth * kLanes <= kValueStrip);

struct Item {
  const KernelArgs& a;
  const Sequence& s;
  int64_t head;     // kv head
  int64_t token;    // first
  int64_t tokens;   // of the item
  int64_t used;     // rows in use
  int64_t vectors;  // of them
  int64_t rows;     // stride of everything that has rows last
  int64_t value_dim;
  int64_t key_stride;
  int64_t columns;     // of a key
  int64_t key_offset;  // of position 0
  int64_t value_offset;
  float* query;
  float* key;
  float* value;
  float* scores;
  float* out;
  float* max;
  float* sum;
  float* alpha;

  /// Where token t of the item lies.
  int64_t OffsetOf(const tamis::prim::Tokens& at, int64_t t) const {
    return tamis::prim::OffsetOf(at, s.batch, s.token + token + t);
  }
  /// One past the last position that a token of the item sees, and the first; equal: none.
  int64_t End(int64_t t) const {
    const int64_t visible = s.visible + token + t;
    return s.padding || visible < 0 ? 0 : visible;
  }
  int64_t Begin(int64_t t) const {
    const int64_t end = End(t);
    return end < a.window ? 0 : end - a.window;
  }
};

// Positions [begin, end) of a tile.
struct Tile {
  int64_t begin;
  int64_t count;
  bool whole;  // every token sees all of it
  bool first;  // of the item
};

// --- queries and keys
// ----------------------------------------------------------------------------------------------

inline void PackQueries(const Item& it) {
  for (int64_t v = 0; v < it.vectors; ++v) {
    const void* from[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int64_t row = v * kLanes + i;
      from[i] = row < it.used
                    ? it.a.query + it.OffsetOf(it.a.query_at, row / it.a.group) +
                          (it.head * it.a.group + row % it.a.group) * it.a.query_head_stride
                    : nullptr;
    }
    PackRows(it.a.element, from, it.a.key.dim, it.query + v * it.columns * kLanes);
  }
}

TAMIS_INLINE const uint16_t* RowOf(const Item& it, const Rows& rows, int64_t offset,
                                   int64_t position) {
  const uint16_t* head = rows.data + offset + it.head * rows.head_stride;
  if (it.a.page_table == nullptr) return head + position * rows.row_stride;
  // Positions are below 2^31: 32-bit division is faster.
  const auto p = static_cast<uint32_t>(position);
  const auto size = static_cast<uint32_t>(it.a.page_size);
  const int64_t page = it.a.page_table[it.s.table_offset + p / size];
  return head + page * rows.page_stride + p % size * rows.row_stride;
}
TAMIS_INLINE const uint16_t* KeyRow(const Item& it, int64_t position) {
  return RowOf(it, it.a.key, it.key_offset, position);
}
TAMIS_INLINE const uint16_t* ValueRow(const Item& it, int64_t position) {
  return RowOf(it, it.a.value, it.value_offset, position);
}

// Keys of the tile as columns; zeros up to a whole register tile.
inline void LoadKeys(const Item& it, const Tile& tile) {
  for (int64_t k = 0; k < tile.count; ++k)
    Spread(it.a.element, KeyRow(it, tile.begin + k), it.a.key.dim, it.key + k * it.key_stride);
  for (int64_t k = tile.count; k % (2 * kTileHeight) != 0; ++k) {
    for (int64_t c = 0; c < it.columns; ++c) it.key[k * it.key_stride + c] = 0.0f;
  }
}

// --- scores
// --------------------------------------------------------------------------------------------------------

template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, int64_t k, int64_t v) {
  V sum[kKeys][kVectors];
  ProductTile<kStride>(it.key + k * it.key_stride, it.key_stride,
                       it.query + v * it.columns * kLanes, it.columns, sum);
  const V scale = Set(it.a.scale);
  for (int i = 0; i < kKeys; ++i) {
    for (int j = 0; j < kVectors; ++j)
      Store(it.scores + (k + i) * it.rows + (v + j) * kLanes, Mul(sum[i][j], scale));
  }
}

template <int64_t kStride>
inline void ScoreTiles(const Item& it, int64_t count) {
  ForTiles(
      count, it.vectors,
      [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
        ScoreTile<kStride, decltype(height)::value, decltype(width)::value>(it, k, v);
      });
}

inline void Scores(const Item& it, int64_t count) {
  switch (it.key_stride) {
    case prim::kNarrowKeyStride: return ScoreTiles<prim::kNarrowKeyStride>(it, count);
    case prim::kWideKeyStride: return ScoreTiles<prim::kWideKeyStride>(it, count);
    default: return ScoreTiles<0>(it, count);
  }
}

inline void HideKeys(const Item& it, const Tile& tile) {
  for (int64_t t = 0; t < it.tokens; ++t) {
    const int64_t begin = it.Begin(t) - tile.begin;
    const int64_t end = it.End(t) - tile.begin;
    for (int64_t k = 0; k < tile.count; ++k) {
      if (k >= begin && k < end) continue;
      float* scores = it.scores + k * it.rows + t * it.a.group;
      for (int64_t g = 0; g < it.a.group; ++g) scores[g] = kMinusInfinity;
    }
  }
}

// --- values
// --------------------------------------------------------------------------------------------------------

// A value that some tokens of the item do not see would reach their rows as 0 * inf or 0 * NaN:
// such values are set aside, and given to the rows that see them.
struct Aside {
  int64_t count;
  uint8_t key[kKeyTile];  // of the tile
};

template <int kVectors>
TAMIS_INLINE bool AllFinite(const float* row) {
  V sum = Zero();
  for (int v = 0; v < kVectors; ++v) sum = Fma(Load(row + v * kLanes), Zero(), sum);
  return AllEqual(sum, Zero());
}

template <int kVectors>
TAMIS_INLINE void WidenValue(const Item& it, int64_t position, int64_t c, float* to) {
  constexpr int64_t kWidth = kVectors * kLanes;
  const int64_t width = it.a.value.dim - c < kWidth ? it.a.value.dim - c : kWidth;
  Widen(it.a.element, ValueRow(it, position) + c, width, to);
  for (int64_t i = width; i < kWidth; ++i) to[i] = 0.0f;
}

template <int kVectors>
inline void AddValuesSetAside(const Item& it, const Tile& tile, int64_t c, const Aside& aside) {
  alignas(64) float value[kVectors * kLanes];
  for (int64_t i = 0; i < aside.count; ++i) {
    const int64_t position = tile.begin + aside.key[i];
    WidenValue<kVectors>(it, position, c, value);
    for (int64_t row = 0; row < it.used; ++row) {
      const int64_t t = row / it.a.group;
      if (position < it.Begin(t) || position >= it.End(t)) continue;
      const V e = Set(it.scores[aside.key[i] * it.rows + row]);
      float* out = it.out + row * it.value_dim + c;
      for (int v = 0; v < kVectors; ++v)
        Store(out + v * kLanes, Fma(e, Load(value + v * kLanes), Load(out + v * kLanes)));
    }
  }
}

template <int kRows, int kVectors>
TAMIS_INLINE void ValueRows(const Item& it, const Tile& tile, int64_t c, int64_t row) {
  ValueTile<kRows, kVectors>(tile.first, it.scores + row, it.rows, it.value, kVectors * kLanes,
                             tile.count, it.alpha + row, it.out + row * it.value_dim + c,
                             it.value_dim);
}

// Columns [c, c + kVectors kLanes) of the tile's values, in a strip that stays in L1 for all rows.
template <int kVectors>
inline void ValueStrip(const Item& it, const Tile& tile, int64_t c) {
  constexpr int64_t kWidth = kVectors * kLanes;
  Aside aside = {};
  for (int64_t k = 0; k < tile.count; ++k) {
    float* to = it.value + k * kWidth;
    WidenValue<kVectors>(it, tile.begin + k, c, to);
    if (tile.whole || AllFinite<kVectors>(to)) continue;
    aside.key[aside.count++] = static_cast<uint8_t>(k);
    for (int v = 0; v < kVectors; ++v) Store(to + v * kLanes, Zero());
  }
  int64_t row = 0;
  for (; row + kTileHeight <= it.used; row += kTileHeight)
    ValueRows<kTileHeight, kVectors>(it, tile, c, row);
  if (kTileHeight > 4 && row + 4 <= it.used) {
    ValueRows<4, kVectors>(it, tile, c, row);
    row += 4;
  }
  if (row + 2 <= it.used) {
    ValueRows<2, kVectors>(it, tile, c, row);
    row += 2;
  }
  if (row < it.used) ValueRows<1, kVectors>(it, tile, c, row);
  if (aside.count > 0) AddValuesSetAside<kVectors>(it, tile, c, aside);
}

inline void Values(const Item& it, const Tile& tile) {
  const int64_t vectors = (it.a.value.dim + kLanes - 1) / kLanes;
  ForWidths(
      vectors, [&](auto width, int64_t v) __attribute__((always_inline)) {
        ValueStrip<decltype(width)::value>(it, tile, v * kLanes);
      });
}

// --- items
// ---------------------------------------------------------------------------------------------------------

inline void AttendTile(const Item& it, const Tile& tile) {
  LoadKeys(it, tile);
  Scores(it, tile.count);
  if (!tile.whole) HideKeys(it, tile);
  SoftmaxTile(it.vectors, it.rows, tile.count, it.scores, it.max, it.sum, it.alpha);
  Values(it, tile);
}

inline void WriteRow(const Item& it, int64_t row) {
  const KernelArgs& a = it.a;
  const int64_t t = row / a.group;
  const int64_t head = it.head * a.group + row % a.group;
  uint16_t* out = a.out + it.OffsetOf(a.out_at, t) + head * a.out_head_stride;
  float max = kMinusInfinity;
  float sum = 0.0f;
  if (it.End(t) == 0) {  // sees nothing
    for (int64_t c = 0; c < a.value.dim; ++c) out[c] = 0;
  } else {
    max = it.max[row];
    sum = it.sum[row];
    if (sum == 0.0f) sum = __builtin_nanf("");  // every score was -inf
    if (sum != sum) max = sum;
    Narrow(a.element, it.out + row * it.value_dim, 1.0f / sum, a.value.dim, out);
  }
  if (a.max != nullptr) a.max[it.OffsetOf(a.max_at, t) + head] = max;
  if (a.sum != nullptr) a.sum[it.OffsetOf(a.sum_at, t) + head] = sum;
}

// Of a sequence's first row.
inline int64_t OffsetOf(const KernelArgs& a, const Rows& rows, const Sequence& s) {
  return a.page_table != nullptr ? 0 : s.batch * rows.page_stride + s.key_begin * rows.row_stride;
}

inline Item MakeItem(const KernelArgs& a, const Scratch& at, int64_t item, float* scratch) {
  const Sequence& s =
      a.sequences[LastBeginningBy(a.sequences, a.sequence_count, &Sequence::item_begin, item)];
  const int64_t token = (item - s.item_begin) / a.kv_heads * a.tokens_per_item;
  const int64_t tokens = s.rows - token < a.tokens_per_item ? s.rows - token : a.tokens_per_item;
  const int64_t used = tokens * a.group;
  return {
      .a = a,
      .s = s,
      .head = (item - s.item_begin) % a.kv_heads,
      .token = token,
      .tokens = tokens,
      .used = used,
      .vectors = (used + kLanes - 1) / kLanes,
      .rows = at.rows,
      .value_dim = at.value_dim,
      .key_stride = at.key_stride,
      .columns = ColumnsOf(a.key.dim),
      .key_offset = OffsetOf(a, a.key, s),
      .value_offset = OffsetOf(a, a.value, s),
      .query = scratch + at.query,
      .key = scratch + at.key,
      .value = scratch + at.value,
      .scores = scratch + at.scores,
      .out = scratch + at.out,
      .max = scratch + at.max,
      .sum = scratch + at.sum,
      .alpha = scratch + at.alpha,
  };
}

}  // namespace sliding_window
}  // namespace

void SlidingWindowAttention(const void* args, int64_t item, void* scratch, void*) {
  using namespace sliding_window;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Scratch at(a);
  const Item it = MakeItem(a, at, item, static_cast<float*>(scratch));
  const int64_t last = it.tokens - 1;
  const int64_t begin = it.Begin(0);
  const int64_t end = it.End(last);
  if (begin < end) PackQueries(it);
  for (int64_t i = 0; i < it.vectors * kLanes; ++i) {
    it.max[i] = kLowest;
    it.sum[i] = 0.0f;
  }
  for (int64_t next = begin; next < end;) {
    const int64_t tile_end = (next / kKeyTile + 1) * kKeyTile;
    const int64_t stop = tile_end < end ? tile_end : end;
    const bool whole = next >= it.Begin(last) && stop <= it.End(0);
    AttendTile(it, {.begin = next, .count = stop - next, .whole = whole, .first = next == begin});
    next = stop;
  }
  for (int64_t row = 0; row < it.used; ++row) WriteRow(it, row);
}

}  // namespace tamis::TAMIS_LEVEL

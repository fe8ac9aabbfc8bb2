// Attention over compressed keys with block importance and selection, one level.
//
// An item is a few query tokens of one sequence and one kv head, or several where rows are few.
// For each kv head: rows = tokens x group, token-major, lying on the lanes. Keys come in tiles of
// 64, all kv heads of a tile after the other. Scores are held transposed,
// S[key][row]: keys need widening only, the softmax is lane-wise, and a tile is one product of
// broadcast keys with a panel of queries that stays in L1.
//   scores:  S = scale K Q  K widened once per tile (or, as pairs, copied), Q transposed once per
//   item softmax: online; e = exp(S - running max) replaces S, the running max of each tile is
//   noted values:  O = alpha O + e V, V widened once per tile, a strip of columns at a time
//   importance: P = e * exp(tile max - max) / sum, summed over the group first, then over the band
//   of a block
// Where the e of all keys are kept, every score is computed once and exponentiated once. Where they
// would not fit, the last step computes them again, tile by tile.
#include "prim/cpu/attention_tile-inl.h"
#include "prim/cpu/compressed_attention.h"
#include "prim/cpu/find-inl.h"
#include "prim/cpu/int16_values-inl.h"
#include "prim/cpu/top_k-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

using prim::AttentionArgs;
using prim::AttentionScratch;
using prim::AttentionSequence;
using prim::KeyView;
using prim::kKeyTile;

constexpr float kLowest = -3.402823466e38f;  // -FLT_MAX: the score of a hidden key
constexpr float kMinusInfinity = -__builtin_inff();

// Rows come in whole vectors and whole register tiles.
constexpr int kRowMultiple = kLanes > kTileHeight ? kLanes : kTileHeight;

struct Item {
  const AttentionArgs& a;
  const AttentionSequence& s;
  int64_t head;    // kv head
  int64_t member;  // which it is of the item's heads
  int64_t token;   // first, within the sequence
  int64_t tokens;
  int64_t vectors;    // of rows in use
  int64_t rows;       // stride of everything that has rows last
  int64_t value_dim;  // padded
  bool keep;
  bool loaded;  // keys and values of all the item's heads are in scratch, a tile at a time
  bool int16;   // values are summed in 16-bit integers, where they are in range
  int64_t key_stride;
  float* query;
  float* key;
  float* value;
  float* inverse;
  int32_t* weights;
  float* factor;
  float* scores;
  float* tile_max;
  float* out;
  float* max;
  float* sum;
  float* alpha;
  float* group_sums;
  int64_t group_sums_stride;
  float* block_scores;
  uint64_t* heap;
  uint8_t* hidden;  // per token: every key is hidden
  uint8_t* needed;  // per tile: its first keys that are computed; no row sees the others

  float* TileScores(int64_t tile) const { return scores + (keep ? tile * kKeyTile * rows : 0); }
};

// --- which keys a token sees
// -----------------------------------------------------------------------------------------

// Keys past this index are hidden by length: their window ends after the tokens that query `token`
// sees.
inline int64_t VisibleKeys(const AttentionArgs& a, const AttentionSequence& s, int64_t token) {
  if (s.visible_tokens < 0) return s.keys;
  const int64_t visible = s.visible_tokens - (s.rows - 1 - token);
  if (visible < a.compress_block) return 0;
  const int64_t keys = (visible - a.compress_block) / a.compress_stride + 1;
  return keys < s.keys ? keys : s.keys;
}

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

// How many of the keys [first, first + count) token t must be given: up to the last that it sees.
inline int64_t SeenBy(const Item& it, int64_t t, int64_t first, int64_t count) {
  const int64_t visible = VisibleKeys(it.a, it.s, it.token + t) - first;
  const int64_t seen = visible < 0 ? 0 : visible < count ? visible : count;
  if (it.a.atten_mask == nullptr) return seen;
  return PastLastZero(it.a.atten_mask + (it.token + t) * it.a.atten_mask_stride + first, seen);
}

inline int64_t KeysOfTile(const Item& it, int64_t first) {
  return it.s.keys - first < kKeyTile ? it.s.keys - first : kKeyTile;
}

// Marks the tokens that see no key, and how many keys of each tile any row needs: none of what lies
// past the diagonal of a causal mask. A token that sees none averages all values (unless it gives
// zero), so its item needs every key.
inline void FindHidden(const Item& it) {
  const bool hiding = it.a.atten_mask != nullptr || it.s.visible_tokens >= 0;
  bool all_keys = !hiding;
  for (int64_t t = 0; t < it.tokens; ++t) {
    it.hidden[t] = hiding && SeenBy(it, t, 0, it.s.keys) == 0 ? 1 : 0;
    all_keys = all_keys || (it.hidden[t] != 0 && !it.a.zero_masked_rows);
  }
  for (int64_t first = 0; first < it.s.keys; first += kKeyTile) {
    const int64_t count = KeysOfTile(it, first);
    int64_t needed = all_keys ? count : 0;
    for (int64_t t = 0; t < it.tokens && needed < count; ++t) {
      const int64_t seen = SeenBy(it, t, first, count);
      needed = seen > needed ? seen : needed;
    }
    it.needed[first / kKeyTile] = static_cast<uint8_t>(needed);
  }
}

inline void Hide(const Item& it, float* scores, int64_t t, int64_t key) {
  float* rows = scores + key * it.rows + t * it.a.group;
  for (int64_t g = 0; g < it.a.group; ++g) rows[g] = kLowest;
}

inline void HideKeys(const Item& it, float* scores, int64_t first, int64_t count) {
  for (int64_t t = 0; t < it.tokens; ++t) {
    const int64_t visible = VisibleKeys(it.a, it.s, it.token + t) - first;
    for (int64_t k = visible < 0 ? 0 : visible; k < count; ++k) Hide(it, scores, t, k);
    if (it.a.atten_mask == nullptr) continue;
    const uint8_t* mask = it.a.atten_mask + (it.token + t) * it.a.atten_mask_stride + first;
    for (int64_t k = 0; k < count; ++k) {
      uint64_t word = 1;
      if (k + 8 <= count) __builtin_memcpy(&word, mask + k, 8);
      if (word == 0) {  // most words of most masks
        k += 7;
      } else if (mask[k] != 0) {
        Hide(it, scores, t, k);
      }
    }
  }
}

// --- tiles
// ----------------------------------------------------------------------------------------------------------

// Query row `row` of the item.
TAMIS_INLINE const uint16_t* QueryRow(const Item& it, int64_t row) {
  return it.a.query + it.s.query_offset + (it.token + row / it.a.group) * it.a.query_token_stride +
         (it.head * it.a.group + row % it.a.group) * it.a.query_head_stride;
}

// All lines at once: they come from memory, and a block of lanes x lanes would wait for each line
// in turn. Inlined by force: gcc 12 takes a function that only prefetches for one without effect
// and drops its calls.
TAMIS_INLINE void PrefetchQueries(const Item& it) {
  for (int64_t row = 0; row < it.tokens * it.a.group; ++row) {
    const char* from = reinterpret_cast<const char*>(QueryRow(it, row));
    for (int64_t byte = 0; byte < 2 * it.a.key.dim; byte += 64)
      __builtin_prefetch(from + byte, 0, 3);
  }
}

// Queries of the item as [vector of rows][column][lane]; rows past the last are 0.
inline void PackQueries(const Item& it) {
  const int64_t dim = it.a.key.dim;
  for (int64_t v = 0; v < it.vectors; ++v) {
    const uint16_t* from[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int64_t row = v * kLanes + i;
      from[i] = row < it.tokens * it.a.group ? QueryRow(it, row) : nullptr;
    }
    PackRows(it.a.bfloat16, from, dim, it.query + v * ColumnsOf(dim) * kLanes);
  }
}

inline const uint16_t* RowOf(const Item& it, const KeyView& view, int64_t key) {
  const uint16_t* head = view.data + it.head * view.head_stride;
  if (it.a.page_table == nullptr) return head + (it.s.key_begin + key) * view.row_stride;
  const int64_t page = it.a.page_table[it.s.table_offset + key / it.a.page_size];
  return head + page * view.page_stride + key % it.a.page_size * view.row_stride;
}

// Key `key` as columns, the k-th of its tile.
TAMIS_INLINE void LoadKey(const Item& it, int64_t key, int64_t k) {
  Spread(it.a.bfloat16, RowOf(it, it.a.key, key), it.a.key.dim, it.key + k * it.key_stride);
}

// Zeros from key `count` of the tile up to a whole register tile.
inline void PadKeys(const Item& it, int64_t count) {
  const int64_t columns = ColumnsOf(it.a.key.dim);
  for (int64_t k = count; k % (2 * kTileHeight) != 0; ++k) {
    for (int64_t c = 0; c < columns; ++c) it.key[k * it.key_stride + c] = 0.0f;
  }
}

// Columns [c, c + width) of a key's value; zeros up to `padded`.
TAMIS_INLINE void LoadValue(const Item& it, int64_t key, int64_t c, int64_t width, int64_t padded,
                            float* to) {
  Widen(it.a.bfloat16, RowOf(it, it.a.value, key) + c, width, to);
  for (int64_t i = width; i < padded; ++i) to[i] = 0.0f;
}

// How many keys ahead their rows are asked for: some 3 KiB. All heads' rows lie side by side, and
// one head's values are read a strip at a time.
constexpr int64_t kHeadsKeysAhead = 2;
constexpr int64_t kHeadsValuesAhead = 3;
constexpr int64_t kKeysAhead = 8;
constexpr int64_t kStripsAhead = 32;
constexpr int64_t kValuesAhead = 16;

// Asks for row `key` of a head, from column c on: the hardware does not foresee rows that lie a row
// of all heads apart. What is asked for must be used soon: of lines further ahead than some 4 KiB
// little is left in L1, and hints for L2 load nothing on some processors (but the page's entry).
// Inlined by force: gcc 12 takes a function that only prefetches for one without effect and drops
// its calls.
TAMIS_INLINE void PrefetchRow(const Item& it, const KeyView& view, int64_t key, int64_t c,
                              int64_t width) {
  if (key >= it.s.keys) return;
  const char* row = reinterpret_cast<const char*>(RowOf(it, view, key) + c);
  for (int64_t byte = 0; byte < 2 * width; byte += 64) __builtin_prefetch(row + byte, 0, 3);
}

// Asks for the entry of a row's page.
TAMIS_INLINE void PrefetchPage(const Item& it, const KeyView& view, int64_t key) {
  __builtin_prefetch(RowOf(it, view, key), 0, 2);
}

inline void LoadKeys(const Item& it, int64_t first, int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    PrefetchRow(it, it.a.key, first + k + kKeysAhead, 0, it.a.key.dim);
    LoadKey(it, first + k, k);
  }
  PadKeys(it, count);
}

// Values of keys k and k + 1 of the tile, where there is one more, as pairs of integers. Returns
// whether they are in range.
TAMIS_INLINE bool PairUpValues(const Item& it, int64_t first, int64_t count, int64_t k) {
  const uint16_t* one = RowOf(it, it.a.value, first + k);
  const uint16_t* two = k + 1 < count ? RowOf(it, it.a.value, first + k + 1) : nullptr;
  auto* to = reinterpret_cast<int32_t*>(it.value) + k / 2 * it.value_dim;
  return it.a.bfloat16 ? PairValues<BF16>(one, two, it.a.value.dim, to, it.inverse + k)
                       : PairValues<F16>(one, two, it.a.value.dim, to, it.inverse + k);
}

// Whether values are pairs of integers, per head of an item.
struct Paired {
  bool head[prim::kMostHeadsPerItem];
};

inline Paired PairUpHeads(const Item* heads, int64_t first, int64_t count) {
  const int64_t members = heads->a.heads_per_item;
  Paired paired = {{true, true, true, true}};
  for (int64_t k = 0; k < count; k += 2) {
    for (int64_t h = 0; h < members; ++h) {
      for (int64_t i = 0; i < 2; ++i) {
        PrefetchRow(heads[h], heads->a.value, first + k + i + kHeadsValuesAhead, 0,
                    heads->a.value.dim);
      }
      paired.head[h] = paired.head[h] && PairUpValues(heads[h], first, count, k);
    }
  }
  return paired;
}

// The tile of all heads: rows of all heads lie side by side, so memory is read from end to end.
inline Paired LoadHeads(const Item* heads, int64_t first, int64_t count) {
  const Item& it = *heads;
  const int64_t members = it.a.heads_per_item;
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t h = 0; h < members; ++h) {
      PrefetchRow(heads[h], it.a.key, first + k + kHeadsKeysAhead, 0, it.a.key.dim);
      LoadKey(heads[h], first + k, k);
    }
  }
  for (int64_t h = 0; h < members; ++h) PadKeys(heads[h], count);
  if (it.int16) return PairUpHeads(heads, first, count);
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t h = 0; h < members; ++h) {
      PrefetchRow(heads[h], it.a.value, first + k + kHeadsValuesAhead, 0, it.a.value.dim);
      LoadValue(heads[h], first + k, 0, it.a.value.dim, it.value_dim,
                heads[h].value + k * it.value_dim);
    }
  }
  return {};
}

// Step `step` of the kKeyTile steps in which the scores of a tile ask for the pages of the next
// one.
TAMIS_INLINE void PrefetchAhead(const Item& it, int64_t first, int64_t step) {
  const int64_t key = first + kKeyTile + step;
  if (key >= it.s.keys) return;
  PrefetchPage(it, it.a.key, key);
  PrefetchPage(it, it.a.value, key);
}

// S[kKeys keys][kVectors vectors of rows] = scale K Q, from key k and vector v on. The first
// vectors ask for this tile's values and the next one's keys meanwhile, a few at a time.
template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, int64_t first, int64_t k, int64_t v, float* scores) {
  const int64_t columns = ColumnsOf(it.a.key.dim);
  int64_t ahead = v == 0 && it.member == 0 ? k : k + kKeys;
  const auto prefetch = [&](int64_t c) __attribute__((always_inline)) {
    for (; ahead < k + kKeys && (ahead - k) * columns <= c * kKeys; ++ahead)
      PrefetchAhead(it, first, ahead);
  };
  V sum[kKeys][kVectors];
  ProductTile<kStride>(it.key + k * it.key_stride, it.key_stride, it.query + v * columns * kLanes,
                       columns, sum, prefetch);
  const V scale = Set(it.a.scale);
  for (int i = 0; i < kKeys; ++i) {
    for (int j = 0; j < kVectors; ++j)
      Store(scores + (k + i) * it.rows + (v + j) * kLanes, Mul(sum[i][j], scale));
  }
}

template <int64_t kStride>
inline void ScoreTiles(const Item& it, int64_t first, int64_t count, float* scores) {
  int64_t v = 0;
  for (; v + 2 <= it.vectors; v += 2) {
    for (int64_t k = 0; k < count; k += kTileHeight)
      ScoreTile<kStride, kTileHeight, 2>(it, first, k, v, scores);
  }
  if (v < it.vectors) {
    for (int64_t k = 0; k < count; k += 2 * kTileHeight)
      ScoreTile<kStride, 2 * kTileHeight, 1>(it, first, k, v, scores);
  }
}

inline void Scores(const Item& it, int64_t first, int64_t count, float* scores) {
  switch (it.key_stride) {
    case prim::kNarrowKeyStride:
      return ScoreTiles<prim::kNarrowKeyStride>(it, first, count, scores);
    case prim::kWideKeyStride: return ScoreTiles<prim::kWideKeyStride>(it, first, count, scores);
    default: return ScoreTiles<0>(it, first, count, scores);
  }
}

// Columns [c, c + kVectors kLanes) of the tile's values. Not in scratch yet, they are widened into
// a strip that stays in L1 for all rows.
template <int kVectors>
inline void ValueStrip(const Item& it, int64_t first, int64_t count, int64_t c, const float* e) {
  const float* values = it.value + c;
  int64_t stride = it.value_dim;
  if (!it.loaded || it.int16) {  // integers that are out of range are not in scratch
    values = it.value;
    stride = kVectors * kLanes;
    const int64_t width = it.a.value.dim - c < stride ? it.a.value.dim - c : stride;
    for (int64_t k = 0; k < count; ++k) {
      PrefetchRow(it, it.a.value, first + k + kStripsAhead, c, width);
      LoadValue(it, first + k, c, width, stride, it.value + k * stride);
    }
  }
  const int64_t used = it.tokens * it.a.group;
  for (int64_t r = 0; r < used; r += kTileHeight) {
    ValueTile<kTileHeight, kVectors>(false, e + r, it.rows, values, stride, count, it.alpha + r,
                                     it.out + r * it.value_dim + c, it.value_dim);
  }
}

inline void Values(const Item& it, int64_t first, int64_t count, const float* e) {
  int64_t c = 0;
  for (; c + 2 * kLanes <= it.value_dim; c += 2 * kLanes) ValueStrip<2>(it, first, count, c, e);
  for (; c < it.value_dim; c += kLanes) ValueStrip<1>(it, first, count, c, e);
}

inline bool PairUpHead(const Item& it, int64_t first, int64_t count) {
  bool paired = true;
  for (int64_t k = 0; k < count && paired; k += 2) {
    for (int64_t i = 0; i < 2; ++i)
      PrefetchRow(it, it.a.value, first + k + i + kValuesAhead, 0, it.a.value.dim);
    paired = PairUpValues(it, first, count, k);
  }
  return paired;
}

inline void Int16Values(const Item& it, int64_t count, const float* e) {
  PairWeights(it.vectors, it.rows, count, e, it.inverse, it.weights, it.factor);
  const int64_t used = it.tokens * it.a.group;
  const auto strip = [&](auto vectors, int64_t c) __attribute__((always_inline)) {
    for (int64_t r = 0; r < used; r += kTileHeight) {
      Int16ValueTile<kTileHeight, decltype(vectors)::value>(
          false, it.weights + r, it.rows, reinterpret_cast<const int32_t*>(it.value) + c,
          it.value_dim, (count + 1) / 2, it.alpha + r, it.factor + r, it.out + r * it.value_dim + c,
          it.value_dim);
    }
  };
  int64_t c = 0;
  for (; c + 2 * kLanes <= it.value_dim; c += 2 * kLanes) strip(Vectors<2>(), c);
  for (; c < it.value_dim; c += kLanes) strip(Vectors<1>(), c);
}

inline void MaskedScores(const Item& it, int64_t first, int64_t count, float* scores) {
  Scores(it, first, count, scores);
  HideKeys(it, scores, first, count);
}

inline void Begin(const Item& it) {
  for (int64_t i = 0; i < it.rows; ++i) {
    it.max[i] = kMinusInfinity;
    it.sum[i] = 0.0f;
  }
  for (int64_t i = 0; i < it.rows * it.value_dim; ++i) it.out[i] = 0.0f;
}

inline void AttendTile(const Item& it, int64_t first, int64_t count, bool paired) {
  const int64_t tile = first / kKeyTile;
  float* scores = it.TileScores(tile);
  if (!it.loaded) LoadKeys(it, first, count);
  MaskedScores(it, first, count, scores);
  SoftmaxTile(it.vectors, it.rows, count, scores, it.max, it.sum, it.alpha);
  if (it.keep) {
    for (int64_t i = 0; i < it.rows; ++i) it.tile_max[tile * it.rows + i] = it.max[i];
  }
  if (it.int16 && !it.loaded) paired = PairUpHead(it, first, count);
  if (paired) {
    Int16Values(it, count, scores);
  } else {
    Values(it, first, count, scores);
  }
}

// alpha becomes 1 / sum, or 0 for rows that give zero; the statistics become what the caller sees.
inline void Normalise(const Item& it) {
  for (int64_t row = 0; row < it.tokens * it.a.group; ++row) {
    const bool zero = it.s.keys > 0 && it.hidden[row / it.a.group] != 0 && it.a.zero_masked_rows;
    if (zero) {
      it.max[row] = kLowest;
      it.sum[row] = 0.0f;
    }
    it.alpha[row] = zero || it.s.keys == 0 ? 0.0f : 1.0f / it.sum[row];
    if (it.sum[row] != it.sum[row]) it.max[row] = it.sum[row];  // NaN among the scores
  }
  for (int64_t row = it.tokens * it.a.group; row < it.rows; ++row) it.alpha[row] = 0.0f;
}

inline void WriteRows(const Item& it) {
  for (int64_t row = 0; row < it.tokens * it.a.group; ++row) {
    const int64_t t = it.token + row / it.a.group;
    const int64_t q_head = it.head * it.a.group + row % it.a.group;
    uint16_t* out =
        it.a.out + it.s.out_offset + t * it.a.out_token_stride + q_head * it.a.out_head_stride;
    float* values = it.out + row * it.value_dim;
    if (it.alpha[row] == 0.0f) {  // nothing seen: zero, whatever was summed
      for (int64_t c = 0; c < it.a.value.dim; ++c) values[c] = 0.0f;
    }
    Narrow(it.a.bfloat16, values, it.alpha[row], it.a.value.dim, out);
    if (it.a.max != nullptr)
      it.a.max[it.s.max_offset + t * it.a.max_token_stride + q_head] = it.max[row];
    if (it.a.sum != nullptr)
      it.a.sum[it.s.sum_offset + t * it.a.sum_token_stride + q_head] = it.sum[row];
  }
}

// --- importance
// ------------------------------------------------------------------------------------------------------

// group_sums[token][first + key] = sum over the token's rows of factor * e, kLanes keys at a time.
// Of whole vectors of rows: their sum, then the sum of its lanes.
inline void SumWholeGroups(const Item& it, const float* e, const float* factor, int64_t first,
                           int64_t count) {
  const int64_t vectors = it.a.group / kLanes;
  for (int64_t t = 0; t < it.tokens; ++t) {
    const int64_t row = t * it.a.group;
    float* to = it.group_sums + t * it.group_sums_stride + first;
    for (int64_t k = 0; k < count; k += kLanes) {
      V block[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const float* key = e + (k + i) * it.rows + row;
        block[i] = Mul(Load(key), Load(factor + row));
        for (int64_t v = 1; v < vectors; ++v) {
          block[i] = Fma(Load(key + v * kLanes), Load(factor + row + v * kLanes), block[i]);
        }
      }
      Store(to + k, SumRows(block));
    }
  }
}

// The same for groups of any size: blocks of lanes x lanes are transposed, so that keys lie on the
// lanes and a group is a run of vector additions.
inline void SumGroups(const Item& it, const float* e, const float* factor, int64_t first,
                      int64_t count) {
  if (it.a.group % kLanes == 0) return SumWholeGroups(it, e, factor, first, count);
  for (int64_t k = 0; k < count; k += kLanes) {
    V sum = Zero();
    int64_t member = 0;
    float* to = it.group_sums + first + k;
    for (int64_t v = 0; v < it.vectors; ++v) {
      V block[kLanes];
      const V f = Load(factor + v * kLanes);
      for (int i = 0; i < kLanes; ++i) block[i] = Mul(Load(e + (k + i) * it.rows + v * kLanes), f);
      Transpose(block);
      for (int r = 0; r < kLanes && v * kLanes + r < it.tokens * it.a.group; ++r) {
        sum = member == 0 ? block[r] : Add(sum, block[r]);
        if (++member == it.a.group) {
          Store(to, sum);
          to += it.group_sums_stride;
          member = 0;
        }
      }
    }
  }
}

inline void SumGroupsOfTile(const Item& it, int64_t first, int64_t count) {
  const int64_t tile = first / kKeyTile;
  float* scores = it.TileScores(tile);
  if (it.keep) {
    float* factor = it.tile_max + tile * it.rows;
    for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
      const V shrink = ExpNonPositive(Sub(Load(factor + v), Load(it.max + v)));
      Store(factor + v, Mul(shrink, Load(it.alpha + v)));
    }
    return SumGroups(it, scores, factor, first, count);
  }
  LoadKeys(it, first, count);
  MaskedScores(it, first, count, scores);
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
      float* score = scores + k * it.rows + v;
      Store(score, ExpNonPositive(Sub(Load(score), Load(it.max + v))));
    }
  }
  SumGroups(it, scores, it.alpha, first, count);
}

// The band of a block as floats, where it is as short as bands are (5 at the documents' sizes).
constexpr int64_t kShortBand = 64;

struct Band {
  int64_t length;
  float coefficients[kShortBand];
  const float* data;  // null: too long

  explicit Band(const prim::BlockGeometry& g) : length(g.LastToken(0) - g.FirstToken(0) + 1) {
    data = length <= kShortBand ? coefficients : nullptr;
    for (int64_t i = 0; i < length && data != nullptr; ++i)
      coefficients[i] = static_cast<float>(g.Coefficient(i));
  }
};

// sum over x of band[last - x] * probabilities[x], from the last token back.
inline float BlockScore(const Item& it, const Band& band, const float* probabilities, int64_t j) {
  const prim::BlockGeometry& g = it.a.geometry;
  const int64_t last = g.LastToken(j);
  const int64_t first = g.FirstToken(j) > 0 ? g.FirstToken(j) : 0;
  float sum = 0.0f;
  for (int64_t x = last < it.s.keys ? last : it.s.keys - 1; x >= first; --x) {
    const float coefficient =
        band.data != nullptr ? band.data[last - x] : static_cast<float>(g.Coefficient(last - x));
    sum += coefficient * probabilities[x];
  }
  return sum;
}

// probabilities[x] becomes the score of a block whose last token is x: the same operations in the
// same order. From the end back, so that those before are still what they were.
inline void SumBands(const Band& band, int64_t keys, float* probabilities) {
  const int64_t begin = band.length - 1;  // bands that begin earlier are cut short
  for (int64_t end = keys; end > begin; end -= kLanes) {
    const int64_t x = end - kLanes > begin ? end - kLanes : begin;
    V sum = Zero();
    for (int64_t i = 0; i < band.length; ++i)
      sum =
          Add(sum, Mul(Set(band.data[i]), LoadN(probabilities + x - i, static_cast<int>(end - x))));
    StoreN(probabilities + x, sum, static_cast<int>(end - x));
  }
}

// The scores of all blocks. `probabilities` is lost.
inline void ScoreBlocks(const Item& it, const Band& band, float* probabilities) {
  const prim::BlockGeometry& g = it.a.geometry;
  const int64_t blocks = it.s.blocks;
  int64_t whole = 0;  // blocks [whole, cut) hear tokens inside [0, keys) only
  while (whole < blocks && g.FirstToken(whole) < 0) ++whole;
  int64_t cut = band.data != nullptr ? blocks : whole;
  while (cut > whole && g.LastToken(cut - 1) >= it.s.keys) --cut;
  for (int64_t j = 0; j < whole; ++j) it.block_scores[j] = BlockScore(it, band, probabilities, j);
  for (int64_t j = cut; j < blocks; ++j)
    it.block_scores[j] = BlockScore(it, band, probabilities, j);
  if (cut == whole) return;
  SumBands(band, it.s.keys, probabilities);
  for (int64_t j = whole; j < cut; ++j) it.block_scores[j] = probabilities[g.LastToken(j)];
}

inline void SelectBlocks(const Item& it) {
  for (int64_t first = 0; first < it.s.keys; first += kKeyTile) {
    const int64_t count = it.needed[first / kKeyTile];
    if (count > 0) SumGroupsOfTile(it, first, count);
    for (int64_t t = 0; t < it.tokens; ++t) {
      float* sums = it.group_sums + t * it.group_sums_stride + first;
      for (int64_t k = count; k < kKeyTile; ++k) sums[k] = 0.0f;
    }
  }
  const int64_t blocks = it.s.blocks;
  const Band band(it.a.geometry);
  for (int64_t t = 0; t < it.tokens; ++t) {
    const bool zero = it.hidden[t] != 0 && it.a.zero_masked_rows;
    const uint8_t* forced = it.a.topk_mask != nullptr
                                ? it.a.topk_mask + (it.token + t) * it.a.topk_mask_stride
                                : nullptr;
    if (zero) {
      for (int64_t j = 0; j < blocks; ++j) it.block_scores[j] = 0.0f;
    } else {
      ScoreBlocks(it, band, it.group_sums + t * it.group_sums_stride);
    }
    for (int64_t j = 0; j < blocks && forced != nullptr; ++j) {
      if (forced[j] != 0) it.block_scores[j] = -kLowest;
    }
    if (it.a.force_ends && blocks > 0) {
      it.block_scores[0] = it.block_scores[blocks - 1] = -kLowest;
      if (blocks > 1) it.block_scores[blocks - 2] = -kLowest;
    }
    int32_t* indices = it.a.topk + it.s.topk_offset + (it.token + t) * it.a.topk_token_stride +
                       it.head * it.a.topk_head_stride;
    SelectTopK(it.block_scores, blocks, it.a.top_k, it.heap, indices);
  }
}

// --- items
// -----------------------------------------------------------------------------------------------------------

inline Item MakeItem(const AttentionArgs& a, const AttentionScratch& at, int64_t item,
                     int64_t member, float* scratch) {
  const AttentionSequence& s = a.sequences[LastBeginningBy(a.sequences, a.sequence_count,
                                                           &AttentionSequence::item_begin, item)];
  const int64_t token_blocks = (s.rows + a.tokens_per_item - 1) / a.tokens_per_item;
  const int64_t head = (item - s.item_begin) / token_blocks * a.heads_per_item + member;
  const int64_t token = (item - s.item_begin) % token_blocks * a.tokens_per_item;
  const int64_t tokens = s.rows - token < a.tokens_per_item ? s.rows - token : a.tokens_per_item;
  float* state = scratch + at.heads + member * at.head_floats;
  return Item{
      .a = a,
      .s = s,
      .head = head,
      .member = member,
      .token = token,
      .tokens = tokens,
      .vectors = (tokens * a.group + kRowMultiple - 1) / kRowMultiple * (kRowMultiple / kLanes),
      .rows = at.rows,
      .value_dim = at.value_dim,
      .keep = a.keep_scores,
      .loaded = a.heads_per_item > 1,
      .int16 = kInt16 && a.storage,
      .key_stride = at.key_stride,
      .query = state + at.query,
      .key = scratch + at.key + member * at.key_floats,
      .value = scratch + at.value + member * at.value_floats,
      .inverse = scratch + at.inverse + member * kKeyTile,
      .weights = reinterpret_cast<int32_t*>(scratch + at.weights),
      .factor = scratch + at.factor,
      .scores = state + at.scores,
      .tile_max = state + at.tile_max,
      .out = state + at.out,
      .max = state + at.max,
      .sum = state + at.sum,
      .alpha = state + at.alpha,
      .group_sums = state + at.group_sums,
      .group_sums_stride = at.keys,
      .block_scores = scratch + at.block_scores,
      .heap = reinterpret_cast<uint64_t*>(scratch + at.heap),
      .hidden = reinterpret_cast<uint8_t*>(scratch + at.hidden),
      .needed = reinterpret_cast<uint8_t*>(scratch + at.needed)};
}

}  // namespace attention
}  // namespace

void CompressedAttention(const void* args, int64_t item, void* scratch, void*) {
  using namespace attention;
  const auto& a = *static_cast<const prim::AttentionArgs*>(args);
  const AttentionScratch at(a);
  auto* floats = static_cast<float*>(scratch);
  const auto make = [&](int64_t member) { return MakeItem(a, at, item, member, floats); };
  static_assert(prim::kMostHeadsPerItem == 4);
  const int64_t last = a.heads_per_item - 1;
  const Item heads[] = {make(0), make(last < 1 ? last : 1), make(last < 2 ? last : 2), make(last)};
  FindHidden(heads[0]);
  for (int64_t h = 0; h <= last; ++h) {
    PrefetchQueries(heads[h]);
    PackQueries(heads[h]);
    Begin(heads[h]);
  }
  for (int64_t key = 0; key < heads[0].s.keys; key += kKeyTile) {
    const int64_t count = heads[0].needed[key / kKeyTile];
    if (count == 0) continue;
    Paired paired = {};
    if (heads[0].loaded) paired = LoadHeads(heads, key, count);
    for (int64_t h = 0; h <= last; ++h) AttendTile(heads[h], key, count, paired.head[h]);
  }
  for (int64_t h = 0; h <= last; ++h) {
    Normalise(heads[h]);
    WriteRows(heads[h]);
    if (a.topk != nullptr) SelectBlocks(heads[h]);
  }
}

}  // namespace tamis::TAMIS_LEVEL

// An item of attention over compressed keys: what it works on, and which keys its tokens see.
#pragma once

#include "prim/blocks/product_tile-inl.h"
#include "prim/compressed_attention/cpu/kernel.h"

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

// Where the rows of a tile's keys and of the next one's begin, from a head's first row on.
struct TileRows {
  int64_t key[2 * kKeyTile];
  int64_t value[2 * kKeyTile];
};

struct Item {
  const AttentionArgs& a;
  const AttentionSequence& s;
  TileRows& from;  // of the tile that is worked on, for all heads
  int64_t head;    // kv head
  int64_t member;  // which it is of the item's heads
  int64_t token;   // first, within the sequence
  int64_t tokens;
  int64_t vectors;    // of rows in use
  int64_t rows;       // stride of everything that has rows last
  int64_t value_dim;  // padded
  bool keep;
  bool loaded;  // rows of all the item's heads are copied into scratch, a tile ahead
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

  /// Where token t of the item lies.
  int64_t OffsetOf(const tamis::prim::Tokens& at, int64_t t) const {
    return tamis::prim::OffsetOf(at, s.batch, s.token + token + t);
  }
  float* TileScores(int64_t tile) const { return scores + (keep ? tile * kKeyTile * rows : 0); }
};

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

// Fills in the rows from key `first` on; past the last key, the last key's.
inline void FindRows(const Item& it, int64_t first) {
  const AttentionArgs& a = it.a;
  const AttentionSequence& s = it.s;
  const bool paged = a.page_table != nullptr;
  int64_t entry = paged ? first / a.page_size : 0;
  int64_t row = paged ? first - entry * a.page_size : s.key_begin + first;
  for (int64_t k = 0; k < 2 * kKeyTile; ++k) {
    const int64_t page = paged ? a.page_table[s.table_offset + entry] : 0;
    it.from.key[k] = page * a.key.page_stride + row * a.key.row_stride;
    it.from.value[k] = page * a.value.page_stride + row * a.value.row_stride;
    if (first + k + 1 >= s.keys) continue;
    ++row;
    if (paged && row == a.page_size) {
      row = 0;
      ++entry;
    }
  }
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

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

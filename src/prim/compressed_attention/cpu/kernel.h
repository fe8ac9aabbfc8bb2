// What the kernels of attention over compressed keys take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/blocks/key_stride.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"
#include "prim/call/tokens.h"
#include "prim/attention/block_importance.h"

namespace tamis::prim {

/// Query rows that share their keys. Offsets are in elements.
struct AttentionSequence {
  int64_t row_begin;  // first row of the outputs, leading dimensions flattened
  int64_t rows;       // query tokens
  int64_t batch;
  int64_t token;           // the first
  int64_t keys;            // n
  int64_t key_begin;       // TND: first key row
  int64_t table_offset;    // of this sequence's entries in the page table, where keys are paged
  int64_t blocks;          // J
  int64_t visible_tokens;  // raw tokens that the last query sees; -1: no key is hidden by length
  int64_t item_begin;      // first work item
};

/// Rows of 16-bit keys or values, TND or paged.
struct KeyView {
  const uint16_t* data;
  int64_t row_stride;
  int64_t head_stride;
  int64_t page_stride;
  int64_t dim;
};

struct AttentionArgs {
  const uint16_t* query;
  Tokens query_at;
  int64_t query_head_stride;
  KeyView key;
  KeyView value;
  const int32_t* page_table;  // null: TND
  int64_t page_size;
  const uint8_t* atten_mask;  // [t, i], null: none
  int64_t atten_mask_stride;
  const uint8_t* topk_mask;  // [t, j], null: none
  int64_t topk_mask_stride;

  uint16_t* out;
  Tokens out_at;
  int64_t out_head_stride;
  int32_t* topk;  // null: no selection
  Tokens topk_at;
  int64_t topk_head_stride;
  float* max;  // null: not wanted
  Tokens max_at;
  float* sum;
  Tokens sum_at;

  const AttentionSequence* sequences;
  int64_t sequence_count;
  int64_t kv_heads;
  int64_t group;
  int64_t top_k;
  float scale;
  BlockGeometry geometry;
  int64_t compress_block;
  int64_t compress_stride;
  bool force_ends;  // blocks 0, J-2, J-1 are always selected
  bool zero_masked_rows;
  prim::Element element;
  bool storage;  // values are summed in 16-bit integers where they can be

  // Blocking, chosen by the plan.
  int64_t row_multiple;  // of the level
  int64_t tokens_per_item;
  int64_t heads_per_item;  // kv heads; divides kv_heads
  int64_t max_keys;
  int64_t max_blocks;
  bool keep_scores;  // the whole score tile stays in scratch; else the second pass computes scores
                     // again
};

inline constexpr int64_t kMostHeadsPerItem = 4;
inline constexpr int64_t kKeyTile = 64;
inline constexpr int64_t kValueStrip = 32;  // columns: at least two vectors of any level

namespace {  // inline functions: no level's copy may be merged with another's

/// Where things lie in a worker's scratch, in floats; every part starts on a cache line.
struct AttentionScratch {
  int64_t rows;       // of a kv head in a work item, padded to whole vectors
  int64_t value_dim;  // padded to whole vectors
  int64_t keys;       // max_keys in whole tiles
  int64_t key_stride;

  // Where an item has several heads, there are two of each, for a tile and the next.
  int64_t key;         // [heads][kKeyTile][key_stride]
  int64_t value;       // [heads][kKeyTile][value_dim]; of one head, [kKeyTile][up to two vectors];
                       // or, in integers, [heads][kKeyTile / 2][value_dim] pairs of keys
  int64_t inverse;     // [heads][kKeyTile]: 1 / scale of integers
  int64_t key_floats;  // of a head
  int64_t value_floats;  // of a head

  // Of the kv head that is worked on.
  int64_t weights;  // [kKeyTile / 2][rows] pairs of keys in integers
  int64_t factor;   // [rows]: of their sums
  int64_t block_scores;
  int64_t heap;    // uint64 [min(top_k, max_blocks)]
  int64_t hidden;  // bytes [tokens]
  int64_t needed;  // bytes [tiles]

  // Of every kv head of the item: `states` begins the first one's, `state_floats` lie between.
  int64_t states;
  int64_t state_floats;
  int64_t query;     // [vectors of rows][columns of dim][lanes]
  int64_t scores;    // [keys or kKeyTile][rows]
  int64_t tile_max;  // [tiles][rows], where scores are kept
  int64_t out;       // [rows][value_dim]
  int64_t max;       // [rows] each
  int64_t sum;
  int64_t alpha;
  int64_t group_sums;  // [tokens][keys]

  int64_t total;  // floats in all

  explicit AttentionScratch(const AttentionArgs& a) {
    ScratchLayout parts;
    ScratchLayout state;
    rows = RoundedUp(Times(a.tokens_per_item, a.group), a.row_multiple);
    value_dim = RoundedUp(a.value.dim, a.row_multiple);
    keys = RoundedUp(a.max_keys, kKeyTile);
    key_stride = KeyStrideOf(a.key.dim);
    const int64_t tiles = keys / kKeyTile;
    const bool select = a.topk != nullptr;

    query = state.Take(Times(a.key.dim, rows));
    scores = state.Take(Times(a.keep_scores ? keys : kKeyTile, rows));
    tile_max = state.Take(a.keep_scores ? Times(tiles, rows) : 0);
    out = state.Take(Times(rows, value_dim));
    max = state.Take(rows);
    sum = state.Take(rows);
    alpha = state.Take(rows);
    group_sums = state.Take(select ? Times(a.tokens_per_item, keys) : 0);
    state_floats = state.Total();

    key_floats = Times(key_stride, kKeyTile);
    const int64_t copies = a.heads_per_item > 1 ? 2 * a.heads_per_item : 1;
    const int64_t strip = a.heads_per_item > 1 ? value_dim : kValueStrip;
    const int64_t half = a.storage ? RoundedUp(value_dim, 2) / 2 : 0;
    value_floats = Times(strip > half ? strip : half, kKeyTile);
    key = parts.Take(Times(key_floats, copies));
    value = parts.Take(Times(value_floats, copies));
    inverse = parts.Take(a.storage ? Times(kKeyTile, copies) : 0);
    weights = parts.Take(a.storage ? Times(kKeyTile / 2, rows) : 0);
    factor = parts.Take(a.storage ? rows : 0);
    block_scores = parts.Take(select ? a.max_blocks : 0);
    heap = parts.Take(select ? Times(2, a.top_k < a.max_blocks ? a.top_k : a.max_blocks) : 0);
    hidden = parts.Take(RoundedUp(a.tokens_per_item, 4) / 4);
    needed = parts.Take(RoundedUp(tiles, 4) / 4);
    states = parts.Take(Times(state_floats, a.heads_per_item));
    total = parts.Total();
  }
};

}  // namespace

}  // namespace tamis::prim

// What the kernel of sliding_window_attention takes: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/blocks/key_stride.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"
#include "prim/call/tokens.h"

namespace tamis::sliding_window_attention {

/// Query tokens that share their keys.
struct Sequence {
  int64_t rows;
  int64_t batch;
  int64_t token;         // the first
  int64_t key_begin;     // TND: row of the first key
  int64_t table_offset;  // of this sequence's entries in the page table, where keys are paged
  int64_t visible;       // positions up to the first token's own; may be negative
  int64_t item_begin;    // first work item
  bool padding;
};

/// Rows of 16-bit keys or values. Strides in elements.
struct Rows {
  const uint16_t* data;
  int64_t row_stride;
  int64_t head_stride;
  int64_t page_stride;  // of a page, or a sequence of BSND keys; TND: 0
  int64_t dim;
};

struct KernelArgs {
  const uint16_t* query;
  prim::Tokens query_at;
  int64_t query_head_stride;
  Rows key;
  Rows value;
  const int32_t* page_table;  // null: not paged
  int64_t page_size;

  uint16_t* out;
  prim::Tokens out_at;
  int64_t out_head_stride;
  float* max;  // null: not wanted
  prim::Tokens max_at;
  float* sum;
  prim::Tokens sum_at;

  const Sequence* sequences;
  int64_t sequence_count;
  int64_t kv_heads;
  int64_t group;
  int64_t window;
  float scale;
  prim::Element element;
  int64_t tokens_per_item;  // chosen by the plan
};

inline constexpr int64_t kKeyTile = 64;
inline constexpr int64_t kValueStrip = 32;  // columns: two vectors of the widest level
inline constexpr int64_t kLine = 16;        // floats
// Positions are below 2^31: longer windows and pages hold the same ones.
inline constexpr int64_t kMostPositions = int64_t{1} << 31;

namespace {  // inline functions: no level's copy may be merged with another's

/// Where things lie in a worker's scratch, in floats.
struct Scratch {
  int64_t rows;        // tokens x heads of an item, in whole lines
  int64_t value_dim;   // in whole lines
  int64_t key_stride;  // between keys of a tile
  int64_t query;       // [vectors of rows][columns of dim][lanes]
  int64_t key;         // [kKeyTile][key_stride]
  int64_t value;       // [kKeyTile][up to kValueStrip]
  int64_t scores;      // [kKeyTile][rows]
  int64_t out;         // [rows][value_dim]
  int64_t max;         // [rows], as the two that follow
  int64_t sum;
  int64_t alpha;
  int64_t total;  // floats in all

  explicit Scratch(const KernelArgs& a) {
    prim::ScratchLayout parts;
    rows = prim::RoundedUp(prim::Times(a.tokens_per_item, a.group), kLine);
    value_dim = prim::RoundedUp(a.value.dim, kLine);
    key_stride = prim::KeyStrideOf(a.key.dim);
    query = parts.Take(prim::Times(a.key.dim, rows));
    key = parts.Take(prim::Times(key_stride, kKeyTile));
    value = parts.Take(kKeyTile * kValueStrip);
    scores = parts.Take(prim::Times(kKeyTile, rows));
    out = parts.Take(prim::Times(rows, value_dim));
    max = parts.Take(rows);
    sum = parts.Take(rows);
    alpha = parts.Take(rows);
    total = parts.Total();
  }
};

}  // namespace

}  // namespace tamis::sliding_window_attention

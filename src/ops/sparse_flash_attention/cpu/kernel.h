// What the kernels of sparse_flash_attention take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/blocks/key_stride.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"
#include "prim/call/tokens.h"
#include "prim/formats/kv_row.h"

namespace tamis::sparse_flash_attention {

/// Query tokens that share their keys.
struct Sequence {
  int64_t row_begin;  // first output row, leading dimensions flattened
  int64_t rows;
  int64_t batch;
  int64_t token;         // the first
  int64_t key_begin;     // TND: row of the first key
  int64_t table_offset;  // of this sequence's entries in the page table, where keys are paged
  int64_t visible;       // positions that the first token sees; may be negative
  int64_t visible_step;  // how many more the next one sees: 1 causal, else 0
  bool padding;
};

/// Rows of keys or values. Strides in bytes.
struct Rows {
  const uint8_t* data;
  int64_t row_stride;
  int64_t page_stride;  // of a page, or a sequence of BSND keys; TND: 0
};

/// Query heads in 16 bits. Strides in elements.
struct Heads {
  const uint16_t* data;
  prim::Tokens at;
  int64_t head_stride;
};

/// A row and a block of heads, cut among workers where rows are few. Its heads, a group at a time,
/// have their queries packed in the first phase; its states, which lie one after the other, merged
/// in the third.
struct Cut {
  int64_t row;
  int64_t head_block;
  int64_t partial;
  int64_t partials;
};

/// One segment of a cut row's selected positions: the second phase.
struct Task {
  int64_t cut;
  int64_t segment;
  int64_t partial;  // where its state goes
};

struct KernelArgs {
  Heads query;
  Heads query_rope;
  Rows key;
  Rows key_rope;
  Rows value;                 // data null: the latent part of key
  const int32_t* page_table;  // null: not paged
  int64_t page_size;
  const int32_t* indices;
  prim::Tokens indices_at;
  const float* sinks;  // null: none

  uint16_t* out;
  prim::Tokens out_at;
  int64_t out_head_stride;
  float* max;  // null: not wanted
  prim::Tokens max_at;
  float* sum;
  prim::Tokens sum_at;

  const Sequence* sequences;
  int64_t sequence_count;
  const Cut* cuts;
  int64_t cut_count;
  const Task* tasks;
  int64_t heads;
  int64_t latent_dim;
  int64_t rope_dim;
  int64_t top_k;
  int64_t block_size;
  float scale;
  prim::Element element;
  bool byte_rows;      // key holds rows of bytes
  bool bf16_pairs;     // products are of pairs of bfloat16: values are widened, keys are not
  bool storage;        // values are summed in 16-bit integers where they can be
  bool int16_scores;   // and scores, where little is lost
  prim::KvRow kv_row;  // of those rows

  // Blocking, chosen by the plan.
  int64_t head_block;   // heads per item
  int64_t head_blocks;  // items per row
};

// Of 64, out would be read and written twice as often, for 5% of the time; 128 keys of 576 dims are
// 300 KB, which with out and the queries is what L2 holds.
inline constexpr int64_t kKeyTile = 128;
inline constexpr int64_t kHeadBlock = 128;
// Heads whose queries are packed, and which are merged, by themselves: whole vectors of every
// level.
inline constexpr int64_t kHeadGroup = 16;
inline constexpr int64_t kQuantaFloats = 4;  // room for one
// Positions that give one partial state. Fixed, so that a row's result does not depend on how the
// work was cut; longer only where a row would have too many of them.
inline constexpr int64_t kSegment = 512;
inline constexpr int64_t kMostSegments = 16;
// Positions are below 2^31: longer blocks and pages hold the same ones.
inline constexpr int64_t kMostBlock = int64_t{1} << 31;
inline constexpr int64_t kMostPage = int64_t{1} << 31;

namespace {  // inline functions: no level's copy may be merged with another's

/// How the selection of one row is walked.
struct Walk {
  int64_t visible;   // positions before it only
  int64_t slots;     // ids that are looked at
  int64_t segment;   // positions per segment
  int64_t segments;  // at most

  Walk(const KernelArgs& a, const Sequence& s, int64_t token) {
    visible = s.visible + token * s.visible_step;
    if (visible < 0) visible = 0;
    const int64_t blocks = (visible + a.block_size - 1) / a.block_size;
    slots = a.top_k < blocks ? a.top_k : blocks;
    const int64_t most = slots * a.block_size;
    segment = (most + kMostSegments - 1) / kMostSegments;
    segment = segment < kSegment ? kSegment : (segment + kKeyTile - 1) / kKeyTile * kKeyTile;
    segments = (most + segment - 1) / segment;
  }
};

/// Where things lie in a worker's scratch, in floats. A state is out [rows][value_dim], max [rows],
/// sum [rows].
struct Scratch {
  int64_t rows;            // heads of an item in whole vectors
  int64_t dim;             // of a score: latent and rope
  int64_t key_stride;      // between rows of the tile
  int64_t value_dim;       // latent in whole vectors
  int64_t query;           // [vectors of heads][columns of dim][lanes]
  int64_t dim_pairs;       // of a query's or a key's dims in integers
  int64_t int16_query;     // [vectors of heads][dim_pairs][lanes]
  int64_t query_factor;    // [rows]: of the scores in integers
  int64_t quanta;          // [groups of heads]: what they add to the error of scores in integers
  int64_t packed_queries;  // begin of what stands for the queries: `query`, or those three
  int64_t packed_query_floats;
  int64_t key;           // [kKeyTile][key_stride]
  int64_t value;         // the same, where values are not the latent part of `key`
  int64_t score_stride;  // between keys of the scores: an odd number of cache lines
  int64_t int16_value;   // [kKeyTile / 2][key_stride] pairs of keys
  int64_t inverse;       // [kKeyTile]: 1 / scale of those
  int64_t key_step;      // [kKeyTile]: of the scores in integers
  int64_t scores;        // [kKeyTile][score_stride]
  int64_t alpha;         // [rows]
  int64_t factor;        // [rows]: of the sums of integers
  int64_t segment;       // state of the segment under way
  int64_t before;        // state of those before it
  int64_t state;         // floats of a state
  int64_t total;         // floats in all

  explicit Scratch(const KernelArgs& a) {
    constexpr int64_t kLine = 16;
    prim::ScratchLayout parts;
    rows = prim::RoundedUp(a.head_block, kLine);
    dim = prim::Plus(a.latent_dim, a.rope_dim);
    value_dim = prim::RoundedUp(a.latent_dim, kLine);
    key_stride = prim::KeyStrideOf(dim);
    score_stride = rows / kLine % 2 == 0 ? prim::Plus(rows, kLine) : rows;
    state = prim::Times(rows, prim::Plus(value_dim, 2));
    query = parts.Take(prim::Times(dim, rows));
    dim_pairs = a.int16_scores ? prim::RoundedUp(a.latent_dim, 2 * kLine) / 2 +
                                     prim::RoundedUp(a.rope_dim, 2 * kLine) / 2
                               : 0;
    int16_query = parts.Take(prim::Times(dim_pairs, rows));
    query_factor = parts.Take(a.int16_scores ? rows : 0);
    quanta = parts.Take(a.int16_scores ? rows / kHeadGroup * kQuantaFloats : 0);
    packed_queries = a.int16_scores ? int16_query : query;
    key = parts.Take(prim::Times(key_stride, kKeyTile));
    value =
        parts.Take(a.value.data != nullptr || a.bf16_pairs ? prim::Times(key_stride, kKeyTile) : 0);
    int16_value = parts.Take(a.storage ? prim::Times(key_stride, kKeyTile / 2) : 0);
    inverse = parts.Take(a.storage ? kKeyTile : 0);
    key_step = parts.Take(a.int16_scores ? kKeyTile : 0);
    scores = parts.Take(prim::Times(score_stride, kKeyTile));
    alpha = parts.Take(rows);
    factor = parts.Take(a.storage ? rows : 0);
    segment = parts.Take(state);
    before = parts.Take(state);
    packed_query_floats = key - packed_queries;
    total = parts.Total();
  }
};

}  // namespace

}  // namespace tamis::sparse_flash_attention

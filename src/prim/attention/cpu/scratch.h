// Where things lie in a worker's scratch.
#pragma once

#include "prim/attention/cpu/args.h"
#include "prim/blocks/key_stride.h"
#include "prim/call/scratch.h"

namespace tamis::prim::attention {
namespace {  // inline functions: no level's copy may be merged with another's

inline constexpr int64_t kLine = 16;         // floats
inline constexpr int64_t kQuantaFloats = 4;  // room for one

/// An odd number of cache lines, so that a column of a tile spreads over all sets of the cache.
inline int64_t OddLines(int64_t floats) {
  const int64_t rounded = RoundedUp(floats, kLine);
  return rounded / kLine % 2 == 0 ? Plus(rounded, kLine) : rounded;
}

/// In floats; every part begins on a cache line.
struct Scratch {
  int64_t rows;          // of a member: tokens x heads in whole lines
  int64_t key_stride;    // between keys of a tile
  int64_t score_stride;  // between keys of the scores
  int64_t value_stride;  // between values of a tile that are widened or paired whole
  int64_t out_stride;
  int64_t keys;       // max_keys in whole tiles
  int64_t dim_pairs;  // of a query's or a key's dims in integers

  // Where rows are copied ahead, there are two of each: for a tile and the next.
  int64_t key;         // [members][key_tile][key_stride]
  int64_t value;       // [members] of a strip [key_tile][up to kValueStrip], of whole rows, or of
                       // pairs of keys in integers, [key_tile / 2][value_stride]
  int64_t widened;     // a row of bytes as fp32, where keys are columns of pairs
  int64_t inverse;     // [members][key_tile]: 1 / scale of integers
  int64_t key_floats;  // of a member
  int64_t value_floats;

  // Of the member that is worked on.
  int64_t key_step;  // [key_tile]: of the scores in integers
  int64_t weights;   // [key_tile / 2][score_stride]: pairs of keys in integers
  int64_t factor;    // [rows]: of their sums
  int64_t block_scores;
  int64_t heap;  // uint64 [min(count, max_blocks)]

  // Of all members.
  int64_t seen;     // Range [sources][tokens]
  int64_t nothing;  // bytes [tokens]: the token sees no key
  int64_t needed;   // bytes [tiles]: keys of the tile that some token sees, where a mask says so

  // Of every member: `states` begins the first one's, `state_floats` lie between.
  int64_t states;
  int64_t state_floats;
  int64_t query;           // [vectors of rows][columns][lanes]
  int64_t int16_query;     // [vectors of rows][dim_pairs][lanes]
  int64_t query_factor;    // [rows]: of the scores in integers
  int64_t quanta;          // [groups of rows]: what they add to the error of scores in integers
  int64_t packed_queries;  // begin of what stands for the queries: `query`, or those three
  int64_t packed_query_floats;
  int64_t scores;         // [keys or key_tile][score_stride]
  int64_t tile_max;       // [tiles][rows], where importance is wanted
  int64_t alpha;          // [rows]
  int64_t group_sums;     // [tokens][keys]
  int64_t total_state;    // a state: out [rows][out_stride], max [rows], sum [rows]
  int64_t segment_state;  // the same, of the segment under way
  int64_t state;          // floats of a state

  int64_t total;

  explicit Scratch(const Args& a) {
    ScratchLayout parts;
    ScratchLayout of_member;
    const bool select = a.selection.wanted;
    rows = RoundedUp(Times(a.tokens_per_item, a.head_block), kLine);
    key_stride = KeyStrideOf(Plus(a.dim, a.rope_dim));
    score_stride = a.keep_scores || a.key_tile == 64 ? rows : OddLines(rows);
    value_stride = OddLines(a.value_dim);
    out_stride = RoundedUp(a.value_dim, kLine);
    keys = RoundedUp(a.max_keys, a.key_tile);
    dim_pairs = a.int16_scores
                    ? Plus(RoundedUp(a.dim, 2 * kLine) / 2, RoundedUp(a.rope_dim, 2 * kLine) / 2)
                    : 0;
    const int64_t tiles = keys / a.key_tile;

    query = of_member.Take(Times(Plus(a.dim, a.rope_dim), rows));
    int16_query = of_member.Take(Times(dim_pairs, rows));
    query_factor = of_member.Take(a.int16_scores ? rows : 0);
    quanta = of_member.Take(a.int16_scores ? rows / kHeadGroup * kQuantaFloats : 0);
    packed_queries = a.int16_scores ? int16_query : query;
    packed_query_floats = of_member.Total() - packed_queries;
    scores = of_member.Take(Times(a.keep_scores ? keys : a.key_tile, score_stride));
    tile_max = of_member.Take(select ? Times(tiles, rows) : 0);
    alpha = of_member.Take(rows);
    group_sums = of_member.Take(select ? Times(a.tokens_per_item, keys) : 0);
    state = Times(rows, Plus(out_stride, 2));
    total_state = of_member.Take(state);
    segment_state = of_member.Take(a.segmented ? state : 0);
    state_floats = of_member.Total();

    key_floats = Times(key_stride, a.key_tile);
    const int64_t copies = a.ahead ? 2 * a.members : 1;
    // Values are copied whole; of few rows, widened whole.
    const bool whole = (a.ahead && !a.value_in_key) || rows <= kLine;
    const int64_t pairs = a.storage ? Times(value_stride, a.key_tile / 2) : 0;
    const int64_t floats = Times(whole ? value_stride : kValueStrip, a.key_tile);
    const bool in_place = a.value_in_key && !a.bf16_pairs;  // of fp32 keys
    value_floats = in_place || pairs > floats ? pairs : floats;
    key = parts.Take(Times(key_floats, copies));
    value = parts.Take(Times(value_floats, copies));
    widened = parts.Take(a.byte_rows && a.bf16_pairs ? Plus(a.dim, a.rope_dim) : 0);
    inverse = parts.Take(a.storage ? Times(a.key_tile, copies) : 0);
    key_step = parts.Take(a.int16_scores ? a.key_tile : 0);
    weights = parts.Take(a.storage && a.keep_scores ? Times(a.key_tile / 2, score_stride) : 0);
    factor = parts.Take(a.storage ? rows : 0);
    block_scores = parts.Take(select ? a.max_blocks : 0);
    const int64_t best = a.selection.count < a.max_blocks ? a.selection.count : a.max_blocks;
    heap = parts.Take(select ? Times(2, best) : 0);
    seen = parts.Take(Times(4 * a.source_count, a.tokens_per_item));
    nothing = parts.Take(RoundedUp(a.tokens_per_item, 4) / 4);
    needed = parts.Take(a.sources[0].hidden != nullptr ? RoundedUp(tiles, 4) / 4 : 0);
    states = parts.Take(Times(state_floats, a.members));
    total = parts.Total();
  }
};

}  // namespace
}  // namespace tamis::prim::attention

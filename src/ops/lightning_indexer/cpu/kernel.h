// What the kernels of lightning_indexer take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/blocks/key_stride.h"
#include "prim/blocks/selector.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"
#include "prim/call/tokens.h"

namespace tamis::lightning_indexer {

/// A few query tokens of one sequence over a run of its keys.
struct Chunk {
  int64_t batch;
  int64_t token;  // the first
  int64_t tokens;
  int64_t first_key;     // TND: row of key 0 of the sequence
  int64_t table_offset;  // of the sequence's entries in the page table, where keys are paged
  int64_t key_begin;
  int64_t key_end;
  int64_t first;         // keys before are seen by no token
  int64_t visible;       // tokens of keys that the first token sees
  int64_t visible_step;  // how many more the next one sees: 1 causal, else 0
  int64_t list;          // first of this chunk's lists of ranks: one per token
  int64_t group;         // which tokens
};

/// The query tokens of some chunks, whose keys follow each other.
struct Group {
  int64_t chunk;  // the first
  int64_t chunks;
  int64_t key_end;  // of the last
  int64_t token;    // the first, of all tokens of all groups
};

/// One query token: the lists that its chunks left, and where the result goes.
struct Row {
  int64_t list;         // the first
  int64_t list_stride;  // to the next chunk's
  int64_t lists;
  int64_t batch;
  int64_t token;
};

/// The scan in 8-bit integers that says which keys need no score (docs/exact-selection.md).
struct Scan {
  bool wanted;
  bool always;                 // however few keys, however many candidates
  const uint8_t* shadow;       // null: keys are quantised on the way
  int64_t shadow_page_stride;  // of a page, or a sequence of BSND keys, in bytes
  int64_t shadow_panel_stride;
  const Group* groups;
  int64_t keys_per_chunk;
  // Where things lie in the shared part of the workspace, in bytes; in a worker's scratch where
  // chunks hold all keys.
  int64_t states_at;
  int64_t bins_at;
  int64_t uppers_at;
};

struct KernelArgs {
  const uint8_t* query;  // strides of queries and keys in bytes
  prim::Tokens query_at;
  int64_t query_head_stride;
  const void* weights;
  prim::Tokens weights_at;
  const uint8_t* key;
  int64_t key_stride;
  int64_t key_tokens;     // that a key stands for
  const int32_t* limits;  // per token: only keys before; null: none
  prim::Tokens limits_at;
  const int32_t* page_table;  // null: not paged
  int64_t page_size;
  int64_t page_stride;  // of a page, or a sequence of BSND keys; TND: 0
  int32_t* indices;
  prim::Tokens indices_at;
  void* values;  // null: not wanted
  prim::Tokens values_at;
  const Chunk* chunks;
  const Row* rows;
  Scan scan;
  int64_t heads;
  int64_t dim;
  int64_t sparse_count;
  int64_t keep;              // ranks per list: sparse_count, or all keys where those are fewer
  int64_t tokens_per_chunk;  // at most
  prim::Element element;
  bool weights_float32;
  bool values_float32;
};

inline constexpr int64_t kIndexerKeyTile = 16;
inline constexpr int64_t kMostLanes = 16;
inline constexpr int64_t kMostTokens = 16;  // per chunk

/// Where things lie in a worker's scratch, in floats.
struct IndexerScratch {
  int64_t rows;     // heads, at least one, in whole vectors of the widest level
  int64_t query;    // [token][vector of heads][dim][lanes]
  int64_t weights;  // [token][rows]
  int64_t key;      // [kIndexerKeyTile][key_stride]
  int64_t key_stride;
  int64_t partial;  // [kIndexerKeyTile][lanes]
  int64_t scores;   // [kIndexerKeyTile]
  int64_t ranks;    // uint64 [token][capacity]
  int64_t total;
};

static inline IndexerScratch LayOut(const KernelArgs& a) {
  IndexerScratch at = {};
  at.rows = prim::RoundedUp(a.heads, kMostLanes);
  if (at.rows == 0) at.rows = kMostLanes;  // no head scores 0, as a head of zeros does
  at.key_stride = prim::KeyStrideOf(a.dim);
  const int64_t rows = prim::Times(a.tokens_per_chunk, at.rows);
  prim::ScratchLayout parts;
  at.query = parts.Take(prim::Times(rows, a.dim));
  at.weights = parts.Take(rows);
  at.key = parts.Take(prim::Times(kIndexerKeyTile, at.key_stride));
  at.partial = parts.Take(kIndexerKeyTile * kMostLanes);
  at.scores = parts.Take(kIndexerKeyTile);
  at.ranks =
      parts.Take(prim::Times(2, prim::Times(a.tokens_per_chunk, prim::SelectorCapacity(a.keep))));
  at.total = parts.Total();
  return at;
}

/// The lists of ranks in the shared part of the workspace: a count, then up to `keep` ranks.
static inline uint64_t* ListOf(const KernelArgs& a, void* shared, int64_t list) {
  return static_cast<uint64_t*>(shared) + list * (a.keep + 1);
}

/// The second phase, for every level: merges a row's lists and writes it. In finish.cc.
void FinishRow(const void* args, int64_t row, void* scratch, void* shared);

}  // namespace tamis::lightning_indexer

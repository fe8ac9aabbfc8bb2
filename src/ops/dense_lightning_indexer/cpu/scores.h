// Index scores as the kernels of both operators take them, and where their rows lie in a worker's
// scratch. Query tokens come in groups of neighbours, which lie on the lanes: what a token adds up
// over heads or keys never leaves its lane.
#pragma once

#include "prim/attention/cpu/args.h"
#include "prim/attention_grad/cpu/args.h"
#include "prim/blocks/key_stride.h"
#include "prim/call/scratch.h"

namespace tamis::dense_lightning_indexer {

/// Query tokens of a group: fixed, because sums of keys run over the tokens of a group for each
/// head.
inline constexpr int64_t kGroupTokens = 32;
/// Keys that are widened for a group at a time.
inline constexpr int64_t kTileKeys = 64;
/// Scores of a tile of keys for a group: [key][token].
inline constexpr int64_t kTilePairs = kTileKeys * kGroupTokens;

/// Strides in bytes.
struct Scores {
  prim::attention::Heads query = {};
  prim::attention::Rows key = {};
  prim::attention::Heads weights = {};
  int64_t heads = 0;
  int64_t dim = 0;
  prim::Element element = {};
  prim::Element weights_element = {};
};

namespace {  // inline functions: no level's copy may be merged with another's

/// Floats of a group's rows of `dims`, or of as many rows for each of `heads`.
inline int64_t GroupFloats(int64_t dims) { return prim::Times(kGroupTokens, dims); }

/// Floats of the keys of a tile.
inline int64_t TileFloats(int64_t dims) { return prim::Times(kTileKeys, prim::KeyStrideOf(dims)); }

}  // namespace
}  // namespace tamis::dense_lightning_indexer

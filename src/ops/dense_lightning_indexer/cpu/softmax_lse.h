// What the kernel of dense_lightning_indexer_softmax_lse takes: plain structs of pointers and
// counts.
#pragma once

#include "ops/dense_lightning_indexer/cpu/scores.h"

namespace tamis::dense_lightning_indexer_softmax_lse {

struct KernelArgs {
  dense_lightning_indexer::Scores scores = {};
  float* max = nullptr;
  prim::Tokens max_at = {};
  float* sum = nullptr;
  prim::Tokens sum_at = {};
  const prim::attention::Sequence* sequences = nullptr;
  const prim::attention_grad::Group* groups = nullptr;
};

namespace {  // inline functions: no level's copy may be merged with another's

/// A worker's, in floats.
struct Scratch {
  int64_t queries;   // a head's, as panels
  int64_t keys;      // of a tile
  int64_t weights;   // [heads][kGroupTokens]
  int64_t row;       // [heads]
  int64_t products;  // of a head
  int64_t scores;
  int64_t max;
  int64_t sum;
  int64_t alpha;
  int64_t total;

  explicit Scratch(const KernelArgs& a) {
    using namespace dense_lightning_indexer;
    prim::ScratchLayout parts;
    queries = parts.Take(GroupFloats(a.scores.dim));
    keys = parts.Take(TileFloats(a.scores.dim));
    weights = parts.Take(GroupFloats(a.scores.heads));
    row = parts.Take(a.scores.heads);
    products = parts.Take(kTilePairs);
    scores = parts.Take(kTilePairs);
    max = parts.Take(kGroupTokens);
    sum = parts.Take(kGroupTokens);
    alpha = parts.Take(kGroupTokens);
    total = parts.Total();
  }
};

}  // namespace
}  // namespace tamis::dense_lightning_indexer_softmax_lse

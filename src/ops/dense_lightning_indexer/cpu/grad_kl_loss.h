// What the kernels of dense_lightning_indexer_grad_kl_loss take: plain structs of pointers and
// counts.
//
// An item of the first phase is a group of query tokens. Tile of keys after tile, it computes both
// distributions, adds to the loss and the gradients of its tokens, and leaves the gradient of every
// index score, dI. An item of the second phase is a tile of keys: with dI of all groups it adds up
// the gradient of its keys. Groups come in chunks, as those of attention (prim/attention_grad).
#pragma once

#include "ops/dense_lightning_indexer/cpu/scores.h"

namespace tamis::dense_lightning_indexer_grad_kl_loss {

/// Heads whose terms a key's sum takes at a time.
inline constexpr int64_t kHeadsPerSum = 2;

/// Numbers in fp32 of every query token.
struct TokenNumbers {
  const float* data = nullptr;  // null: none
  prim::Tokens at = {};
};

struct KernelArgs {
  dense_lightning_indexer::Scores scores = {};
  // The main attention.
  prim::attention::Heads query = {};
  prim::attention::Heads query_rope = {};
  prim::attention::Rows key = {};
  prim::attention::Rows key_rope = {};
  int64_t kv_heads = 1;
  int64_t group = 1;
  int64_t dim = 0;
  int64_t rope_dim = 0;
  float scale = 1;
  TokenNumbers max = {};  // [N] of a token
  TokenNumbers sum = {};
  TokenNumbers max_index = {};
  TokenNumbers sum_index = {};
  TokenNumbers row_scale = {};

  prim::attention::Heads query_grad = {};
  prim::attention::Heads weights_grad = {};
  prim::attention_grad::GradRows key_grad = {};
  float* row_loss = nullptr;  // null: not wanted
  prim::Tokens row_loss_at = {};
  float* loss = nullptr;

  const prim::attention::Sequence* sequences = nullptr;
  const prim::attention_grad::Group* groups = nullptr;
  const prim::attention_grad::Part* parts = nullptr;
  int64_t part_count = 0;
  int64_t groups_per_chunk = 1;
  int64_t max_keys = 0;  // of a sequence
  int64_t sum_rows = 0;  // keys that several chunks see
  int64_t rows = 0;      // query tokens, padding among them
};

namespace {  // inline functions: no level's copy may be merged with another's

inline constexpr int64_t kLine = 16;  // floats

inline int64_t DimStride(const KernelArgs& a) { return prim::RoundedUp(a.scores.dim, kLine); }

/// Floats of dI that a group leaves: [key][token].
inline int64_t SlotFloats(const KernelArgs& a) {
  return dense_lightning_indexer::GroupFloats(a.max_keys);
}

/// What all workers share, in floats.
struct Shared {
  int64_t slots;   // [groups_per_chunk]
  int64_t sums;    // of keys, between chunks: [sum_rows][DimStride]
  int64_t losses;  // [rows]
  int64_t total;

  explicit Shared(const KernelArgs& a) {
    prim::ScratchLayout parts;
    slots = parts.Take(prim::Times(a.groups_per_chunk, SlotFloats(a)));
    sums = parts.Take(prim::Times(a.sum_rows, DimStride(a)));
    losses = parts.Take(a.rows);
    total = parts.Total();
  }
};

/// A worker's, in floats, of either phase.
struct Scratch {
  // Of both.
  int64_t queries;  // a head's, as panels; of the main attention or the index
  int64_t keys;     // of a tile, of either
  int64_t weights;  // [Ni][kGroupTokens]
  int64_t row;      // [Ni]
  int64_t dim_stride;
  // Of the first phase.
  int64_t max;           // [N][kGroupTokens]: of the main attention,
  int64_t factor;        // 1 / sum
  int64_t products;      // [Ni][key][token], of the main attention a head's
  int64_t main;          // [key][token]: p, then dI
  int64_t scores;        // the same: I
  int64_t rows;          // [kRows][kGroupTokens]: numbers of tokens
  int64_t query_grads;   // [Ni][kGroupTokens][dim_stride]
  int64_t weight_grads;  // [Ni][kGroupTokens]
  // Of the second.
  int64_t factors;    // [key][head, token]: dS
  int64_t terms;      // [head, token][dim_stride]: queries
  int64_t key_grads;  // [kTileKeys][dim_stride]
  int64_t total;

  explicit Scratch(const KernelArgs& a) {
    using namespace dense_lightning_indexer;
    const int64_t main_dim = prim::Plus(a.dim, a.rope_dim);
    const int64_t heads = a.scores.heads;
    dim_stride = DimStride(a);
    prim::ScratchLayout parts;
    queries = parts.Take(GroupFloats(main_dim > a.scores.dim ? main_dim : a.scores.dim));
    keys = parts.Take(TileFloats(main_dim > a.scores.dim ? main_dim : a.scores.dim));
    weights = parts.Take(GroupFloats(heads));
    row = parts.Take(heads);
    prim::ScratchLayout second = parts;
    max = parts.Take(GroupFloats(prim::Times(a.kv_heads, a.group)));
    factor = parts.Take(GroupFloats(prim::Times(a.kv_heads, a.group)));
    products = parts.Take(prim::Times(heads > 0 ? heads : 1, kTilePairs));
    main = parts.Take(kTilePairs);
    scores = parts.Take(kTilePairs);
    rows = parts.Take(kRows * kGroupTokens);
    const bool queries_wanted = a.query_grad.data != nullptr;
    query_grads = parts.Take(queries_wanted ? GroupFloats(prim::Times(heads, dim_stride)) : 0);
    weight_grads = parts.Take(GroupFloats(heads));
    factors = second.Take(kHeadsPerSum * kTilePairs);
    terms = second.Take(kHeadsPerSum * GroupFloats(dim_stride));
    key_grads = second.Take(prim::Times(kTileKeys, dim_stride));
    total = parts.Total() > second.Total() ? parts.Total() : second.Total();
  }

  /// Of `rows`.
  enum Row { kMaxIndex, kFactorIndex, kScale, kLoss, kRows };
};

}  // namespace

/// The last phase, for every level: adds up the losses of all tokens. In loss.cc.
void AddLosses(const void* args, int64_t item, void* scratch, void* shared);

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

// What the kernels of sparse_lightning_indexer_grad_kl_loss take: plain structs of pointers and
// counts.
//
// An item of the first phase is a query token: both distributions over its list, its loss and
// gradients, and dS for the gradients of keys, which the second phase adds up (prim/list_grad).
#pragma once

#include "prim/list_grad/cpu/index_scores.h"

namespace tamis::sparse_lightning_indexer_grad_kl_loss {

struct KernelArgs {
  prim::list_grad::IndexArgs index = {};
  // The main attention.
  prim::attention::Heads query = {};
  prim::attention::Heads query_rope = {};
  prim::attention::Rows key = {};
  prim::attention::Rows key_rope = {};
  int64_t heads = 0;
  int64_t dim = 0;
  int64_t rope_dim = 0;
  float scale = 1;
  const float* max = nullptr;  // statistics, by head
  prim::Tokens max_at = {};
  const float* sum = nullptr;
  prim::Tokens sum_at = {};
  bool normalise = false;            // sinks took a share of the probabilities
  const float* row_scale = nullptr;  // null: 1
  prim::Tokens row_scale_at = {};

  float* row_loss = nullptr;  // null: not wanted
  prim::Tokens row_loss_at = {};
  float* loss = nullptr;
  int64_t rows = 0;  // query tokens, padding among them
};

namespace {  // inline functions: no level's copy may be merged with another's

/// What all workers share, in floats.
struct Shared {
  int64_t losses;  // [rows]
  int64_t total;

  explicit Shared(const KernelArgs& a) {
    prim::ScratchLayout parts;
    parts.Take(prim::list_grad::Shared(a.index.list).total);
    losses = parts.Take(a.rows);
    total = parts.Total();
  }
};

/// A worker's of the first phase, in floats.
struct Scratch {
  prim::list_grad::IndexScratch index;
  int64_t key_stride;   // of keys of the main attention
  int64_t head_stride;  // of its products

  int64_t queries;   // panels [vector of heads][column][lane]
  int64_t keys;      // [kTileKeys][key_stride]
  int64_t products;  // [kTileKeys][head_stride]
  int64_t max;       // [heads]: of the softmax,
  int64_t factor;    // 1 / sum
  int64_t main;      // [slots in whole tiles]: sums of probabilities over heads
  int64_t scores;    // the same: I, then exp(I - max)
  int64_t total;

  explicit Scratch(const KernelArgs& a) : index(a.index) {
    using prim::Times;
    constexpr int64_t kLine = prim::list_grad::kLine;
    constexpr int64_t kTile = prim::list_grad::kTileKeys;
    const int64_t dim = prim::Plus(a.dim, a.rope_dim);
    const int64_t slots = prim::RoundedUp(a.index.list.slots, kTile);
    key_stride = prim::KeyStrideOf(dim);
    head_stride = prim::RoundedUp(a.heads, kLine);
    prim::ScratchLayout parts = index.parts;
    queries = parts.Take(Times(head_stride, prim::RoundedUp(dim, kLine)));
    keys = parts.Take(Times(kTile, key_stride));
    products = parts.Take(Times(kTile, head_stride));
    max = parts.Take(head_stride);
    factor = parts.Take(head_stride);
    main = parts.Take(slots);
    scores = parts.Take(slots);
    total = parts.Total();
  }
};

}  // namespace

/// The last phase, for every level: adds up the losses of all tokens. In loss.cc.
void AddLosses(const void* args, int64_t item, void* scratch, void* shared);

}  // namespace tamis::sparse_lightning_indexer_grad_kl_loss

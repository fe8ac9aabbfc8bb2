// What the kernels of sparse_flash_attention_grad take: plain structs of pointers and counts.
#pragma once

#include "prim/blocks/key_stride.h"
#include "prim/list_grad/cpu/args.h"

namespace tamis::sparse_flash_attention_grad {

// Tables of a token's factors: gradients of scores, probabilities.
inline constexpr int64_t kScoreGrads = 0;
inline constexpr int64_t kProbabilities = 1;

struct KernelArgs {
  prim::list_grad::Args list = {};
  prim::attention::Heads out_grad = {};
  const float* max = nullptr;  // statistics of the forward, by head
  prim::Tokens max_at = {};
  const float* sum = nullptr;
  prim::Tokens sum_at = {};
  const float* sinks = nullptr;
  prim::attention::Heads query_grad = {};
  prim::attention::Heads query_rope_grad = {};
  float* sinks_grad = nullptr;  // null: not wanted
  int64_t rows = 0;             // query tokens of the call, leading dimensions flattened
};

namespace {  // inline functions: no level's copy may be merged with another's

/// Floats that all workers share.
struct Shared {
  int64_t sinks;  // [rows][FactorStride]: what a token adds to the gradients of sinks
  int64_t total;

  explicit Shared(const KernelArgs& a) {
    const prim::list_grad::Shared list(a.list);
    sinks = list.total;
    const int64_t heads = prim::list_grad::FactorStride(a.list);
    total = prim::Plus(list.total, a.sinks_grad != nullptr ? prim::Times(a.rows, heads) : 0);
  }
};

/// A worker's of the first phase, in floats.
struct Scratch {
  int64_t dim_stride;    // between gradients of queries
  int64_t key_stride;    // between keys of a tile
  int64_t value_stride;  // and values that are not the first part of keys

  int64_t list;         // of prim::list_grad::ListScratch
  int64_t queries;      // panels [vector of heads][column][lane]
  int64_t out_grads;    // the same
  int64_t keys;         // [kTileKeys][key_stride]
  int64_t values;       // [kTileKeys][value_stride]
  int64_t query_grads;  // [heads, and a row for none][dim_stride]
  int64_t max;          // [heads]: of the forward's softmax,
  int64_t factor;       // 1 / sum,
  int64_t delta;        // sum of P dP
  int64_t total;

  explicit Scratch(const KernelArgs& args) {
    using prim::Times;
    const prim::attention::Args& a = args.list.attend;
    const int64_t dim = prim::Plus(a.dim, a.rope_dim);
    const int64_t heads = prim::list_grad::FactorStride(args.list);
    dim_stride = prim::RoundedUp(dim, prim::list_grad::kLine);
    key_stride = prim::KeyStrideOf(dim);
    value_stride = prim::KeyStrideOf(a.value_dim);
    prim::ScratchLayout parts;
    list = parts.Take(prim::list_grad::ListScratch(args.list).total);
    queries = parts.Take(Times(heads, dim_stride));
    out_grads = parts.Take(Times(heads, prim::RoundedUp(a.value_dim, prim::list_grad::kLine)));
    keys = parts.Take(Times(prim::list_grad::kTileKeys, key_stride));
    values = parts.Take(a.value_in_key ? 0 : Times(prim::list_grad::kTileKeys, value_stride));
    query_grads = parts.Take(Times(prim::Plus(a.group, 1), dim_stride));
    max = parts.Take(heads);
    factor = parts.Take(heads);
    delta = parts.Take(heads);
    total = parts.Total();
  }
};

}  // namespace
}  // namespace tamis::sparse_flash_attention_grad

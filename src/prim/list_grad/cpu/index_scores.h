// Gradients of a lightning indexer's scores over a token's list: what the first phase of their
// operators has in common.
//
// Table 0 holds S[position][head], then the gradient of each.
#pragma once

#include "prim/blocks/key_stride.h"
#include "prim/list_grad/cpu/args.h"

namespace tamis::prim::list_grad {

/// Index queries are those of list.attend, and index keys those of its source.
struct IndexArgs {
  Args list = {};
  attention::Heads weights = {};
  Element weights_element = {};
  attention::Heads query_grad = {};
  attention::Heads weights_grad = {};
};

namespace {  // inline functions: no level's copy may be merged with another's

/// A worker's of the first phase, in floats, after which its operator may have more.
struct IndexScratch {
  int64_t dim_stride;  // between gradients of queries
  int64_t key_stride;  // between keys of a tile

  int64_t list;          // of ListScratch
  int64_t queries;       // panels [vector of heads][column][lane]
  int64_t keys;          // [kTileKeys][key_stride]
  int64_t query_grads;   // [heads, and a row for none][dim_stride]
  int64_t weights;       // [heads]
  int64_t weight_grads;  // [heads]
  int64_t score_grads;   // [slots in whole tiles]: dI
  ScratchLayout parts;

  explicit IndexScratch(const IndexArgs& args) {
    const attention::Args& a = args.list.attend;
    const int64_t heads = FactorStride(args.list);
    dim_stride = RoundedUp(a.dim, kLine);
    key_stride = KeyStrideOf(a.dim);
    list = parts.Take(ListScratch(args.list).total);
    queries = parts.Take(Times(heads, dim_stride));
    keys = parts.Take(Times(kTileKeys, key_stride));
    query_grads = parts.Take(Times(Plus(a.group, 1), dim_stride));
    weights = parts.Take(heads);
    weight_grads = parts.Take(heads);
    score_grads = parts.Take(RoundedUp(args.list.slots, kTileKeys));
  }
};

}  // namespace
}  // namespace tamis::prim::list_grad

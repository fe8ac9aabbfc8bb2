// What the kernels of the merge room take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/blocks/selector.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"

namespace tamis::merge_attention_states {

/// Strides are in elements.
struct KernelArgs {
  const void* outs;
  int64_t outs_part_stride;
  int64_t outs_token_stride;
  int64_t outs_head_stride;
  const float* maxes;
  int64_t maxes_part_stride;
  int64_t maxes_token_stride;
  const float* sums;
  int64_t sums_part_stride;
  int64_t sums_token_stride;
  void* out;
  int64_t out_token_stride;
  int64_t out_head_stride;
  float* max;  // null: not wanted
  int64_t max_token_stride;
  float* sum;  // null: not wanted
  int64_t sum_token_stride;
  int64_t parts;
  int64_t rows;  // tokens x heads
  int64_t heads;
  int64_t dim;
  int64_t rows_per_item;
  prim::Element element;
  bool out_float32;
};

/// A worker's scratch: of the parts of a row that are not empty, max, sum, weight and number. Whole
/// vectors of any level.
static inline int64_t PaddedParts(const KernelArgs& args) {
  return prim::RoundedUp(args.parts, 16);
}

}  // namespace tamis::merge_attention_states

namespace tamis::merge_topk {

struct KernelArgs {
  const float* values;
  int64_t values_part_stride;
  int64_t values_token_stride;
  const int32_t* indices;
  int64_t indices_part_stride;
  int64_t indices_token_stride;
  int32_t* out_indices;
  int64_t out_indices_stride;
  float* out_values;  // null: not wanted
  int64_t out_values_stride;
  int64_t parts;
  int64_t entries;  // per part
  int64_t sparse_count;
  int64_t keep;  // sparse_count, or all entries where those are fewer
};

/// Merges the lists of a token. For every level; in tokens.cc.
void MergeToken(const void* args, int64_t token, void* scratch, void* shared);

}  // namespace tamis::merge_topk

namespace tamis::localize_indices {

struct KernelArgs {
  const int32_t* indices;
  int64_t indices_stride;
  int32_t* out_indices;
  int64_t out_indices_stride;
  int32_t* counts;  // null: not wanted
  int64_t counts_stride;
  int64_t entries;
  int64_t rank;
  int64_t world;
  int64_t interleave;
  int64_t ranks;
};

/// Localizes the list of a token. For every level; in tokens.cc.
void LocalizeToken(const void* args, int64_t token, void* scratch, void* shared);

}  // namespace tamis::localize_indices

namespace tamis::globalize_indices {

/// rank, world, interleave and ranks are at most 2^31: larger ones do the same to any int32, and
/// could overflow.
struct KernelArgs {
  const int32_t* indices;
  int64_t indices_stride;
  int32_t* out_indices;
  int64_t out_indices_stride;
  int64_t entries;
  int64_t rank;
  int64_t world;
  int64_t interleave;
  int64_t ranks;
};

/// Globalizes the list of a token. For every level; in tokens.cc.
void GlobalizeToken(const void* args, int64_t token, void* scratch, void* shared);

}  // namespace tamis::globalize_indices

// What the kernels of nsa_compress_grad take: plain structs of pointers and counts.
#pragma once

#include "ops/nsa_compress/cpu/kernel.h"

namespace tamis::nsa_compress_grad {

using nsa_compress::Sequence;

/// Windows of the call, side by side, whose sums for weights are added up on their own: few enough
/// for items, fixed, because the order of additions depends on it.
inline constexpr int64_t kWindowsPerRun = 256;

struct KernelArgs {
  const void* output_grad;  // strides in elements
  int64_t output_grad_row_stride;
  int64_t output_grad_head_stride;
  const void* input;
  int64_t input_token_stride;
  int64_t input_head_stride;
  const void* weight;
  int64_t weight_row_stride;
  void* input_grad;
  int64_t input_grad_token_stride;
  int64_t input_grad_head_stride;
  void* weight_grad;
  int64_t weight_grad_row_stride;
  bool wants_tokens;
  bool wants_weights;
  const Sequence* sequences;  // those with windows
  int64_t sequence_count;
  int64_t tokens;
  int64_t windows;
  int64_t block;
  int64_t stride;
  int64_t heads;
  int64_t dim;
  prim::Element element;
  // Items of the first phase: runs of windows x groups of heads.
  int64_t runs;
  int64_t heads_per_item;
  int64_t head_groups;
  // Of the second: rows of weight_grad, then tokens to look at for those of no window.
  int64_t weights_per_item;
  int64_t weight_items;
  int64_t tokens_per_item;
};

namespace {  // inline functions: no level's copy may be merged with another's

/// A worker's, in floats.
struct Scratch {
  int64_t weights;  // [heads][block], widened
  int64_t sums;     // [heads][block] of vectors of any level
  int64_t total;

  explicit Scratch(const KernelArgs& a) {
    const int64_t count = prim::Times(a.heads_per_item, a.block);
    prim::ScratchLayout parts;
    weights = parts.Take(a.wants_tokens ? count : 0);
    sums = parts.Take(a.wants_weights ? prim::Times(count, 16) : 0);
    total = parts.Total();
  }
};

/// Floats that all workers share: [runs][block][heads], what the runs add to weight_grad.
inline int64_t SharedFloats(const KernelArgs& a) {
  return a.wants_weights ? prim::Times(a.runs, prim::Times(a.block, a.heads)) : 0;
}

}  // namespace
}  // namespace tamis::nsa_compress_grad

// What the kernels of nsa_compress take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"

namespace tamis::nsa_compress {

struct Sequence {
  int64_t token_begin;
  int64_t window_begin;  // in the packed output
  int64_t windows;
};

struct KernelArgs {
  const void* input;  // strides in elements
  int64_t input_token_stride;
  int64_t input_head_stride;
  const void* weight;
  int64_t weight_row_stride;
  void* output;
  int64_t output_row_stride;
  int64_t output_head_stride;
  const Sequence* sequences;
  int64_t sequence_count;
  int64_t windows;
  int64_t windows_per_item;
  int64_t block;
  int64_t stride;
  int64_t heads;
  int64_t dim;
  prim::Element element;
};

/// Whole vectors of any level.
static inline int64_t PaddedDim(const KernelArgs& args) { return prim::RoundedUp(args.dim, 16); }

/// Floats of scratch that one worker needs: the weights, widened, and a window begun per head.
static inline int64_t ScratchFloats(const KernelArgs& args) {
  return prim::Plus(prim::Times(args.block, args.heads), prim::Times(args.heads, PaddedDim(args)));
}

}  // namespace tamis::nsa_compress

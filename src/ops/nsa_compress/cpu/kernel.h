// What the kernels of nsa_compress take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"

namespace tamis::nsa_compress {

/// Windows of a sequence, each a stride of tokens after the one before.
struct Sequence {
  int64_t token_begin;   // of the packed tokens, or of the sequence's own
  int64_t window_begin;  // of all windows
  int64_t windows;
  int64_t table_offset;  // of the sequence's first entry in the table
};

struct KernelArgs {
  const void* input;     // strides in elements
  const int32_t* table;  // pages of the sequences; null: tokens are packed
  int64_t page_size;
  int64_t input_page_stride;
  int64_t input_token_stride;
  int64_t input_head_stride;
  const void* weight;
  int64_t weight_row_stride;
  void* output;
  const int64_t* output_rows;  // of every window; null: their own order
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

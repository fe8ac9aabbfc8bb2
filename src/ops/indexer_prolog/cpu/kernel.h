// What the kernels of indexer_prolog take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/blocks/linear.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"
#include "prim/call/token_blocks.h"
#include "prim/call/tokens.h"
#include "prim/formats/key_shadow.h"

namespace tamis::indexer_prolog {

/// Tensors have the dtype `element`; absent outputs are null.
struct KernelArgs {
  const void* x;
  prim::TokenStrides x_at;
  const void* query_norm;
  prim::TokenStrides query_norm_at;
  prim::LinearWeight qb;
  prim::LinearWeight k;
  prim::LinearWeight proj;
  const void* gamma;
  const void* beta;
  const void* sin;
  prim::TokenStrides sin_at;
  const void* cos;
  prim::TokenStrides cos_at;
  void* cache;
  prim::CachePages cache_at;
  uint8_t* shadow;
  int64_t shadow_page_stride;
  int64_t shadow_panel_stride;
  const int64_t* slots;  // row of the cache that each token writes; negative: none
  void* query;
  prim::TokenStrides query_at;
  int64_t query_head_stride;
  void* weights;
  prim::TokenStrides weights_at;
  prim::TokenBlocks blocks;
  int64_t heads;
  int64_t dim;
  int64_t rope;
  int64_t rope_at;  // the first channel of a head that is rotated
  float epsilon;
  bool interleaved;
  bool with_keys;  // any row of the cache is written
  prim::Element element;
};

/// Items per block: strips of keys, strips of weights, heads, each for every chunk; then norms.
static inline int64_t KeyStrips(const KernelArgs& a) {
  return a.with_keys ? prim::LinearStrips(a.k, a.blocks.chunk_tokens) : 0;
}
static inline int64_t WeightStrips(const KernelArgs& a) {
  return a.weights != nullptr ? prim::LinearStrips(a.proj, a.blocks.chunk_tokens) : 0;
}
static inline int64_t ProjectItems(const KernelArgs& a) {
  const int64_t heads = a.query != nullptr ? a.heads : 0;
  const int64_t strips = prim::Plus(KeyStrips(a), WeightStrips(a));
  return prim::Times(prim::Plus(strips, heads), prim::ChunksOf(a.blocks));
}
static inline int64_t NormItems(const KernelArgs& a) {
  return prim::PartsOf(a.blocks, prim::kNormTokens);
}

/// What a block leaves for the norms: keys, not rounded.
static inline int64_t SharedFloats(const KernelArgs& a) {
  return prim::Times(a.blocks.block_tokens, a.dim);
}

/// Of a worker: a product, then the rows of rope; or rows of rope, then a key's integers.
static inline int64_t ScratchFloats(const KernelArgs& a) {
  const int64_t product = prim::LinearScratchFloats(a.blocks.chunk_tokens);
  const int64_t integers = a.shadow != nullptr ? prim::ShadowGroups(a.dim) : 0;
  return prim::Plus(product, prim::Plus(prim::Times(5, a.rope), integers));
}

}  // namespace tamis::indexer_prolog

// What the kernels of mla_prolog take: plain structs of pointers and counts.
#pragma once

#include <stdint.h>

#include "prim/blocks/elements.h"
#include "prim/blocks/linear.h"
#include "prim/call/kernel.h"
#include "prim/call/scratch.h"
#include "prim/call/token_blocks.h"
#include "prim/call/tokens.h"

namespace tamis::mla_prolog {

/// Tensors have the dtype `element`; absent outputs are null.
struct KernelArgs {
  const void* x;
  prim::TokenStrides x_at;
  const void* query_source;
  prim::TokenStrides query_source_at;
  prim::LinearWeight dq;
  prim::LinearWeight uq_qr;
  prim::LinearWeight uk;  // of head 0
  int64_t uk_head_stride;
  prim::LinearWeight dkv_kr;
  const void* bias_dq;
  const void* bias_dkv_kr;
  const void* gamma_cq;
  const void* gamma_ckv;
  const void* gamma_kr;
  const void* sin;
  prim::TokenStrides sin_at;
  const void* cos;
  prim::TokenStrides cos_at;
  void* kv_cache;
  prim::CachePages kv_cache_at;
  void* kr_cache;
  prim::CachePages kr_cache_at;
  const int64_t* slots;  // row of both caches that each token writes; negative: none
  void* query;
  prim::TokenStrides query_at;
  int64_t query_head_stride;
  void* query_rope;
  prim::TokenStrides query_rope_at;
  int64_t query_rope_head_stride;
  void* query_norm;
  prim::TokenStrides query_norm_at;
  prim::TokenBlocks blocks;
  int64_t heads;
  int64_t nope;
  int64_t rope;
  int64_t latent;
  int64_t query_rank;
  float epsilon_cq;
  float epsilon_ckv;
  float epsilon_kr;
  bool interleaved;  // rope
  bool with_bias_dq;
  bool with_bias_kv;
  bool with_gamma_kr;
  bool with_source;  // queries are of query_source
  bool with_norm;    // or of the norm: any of the three outputs is wanted
  bool with_kv;      // any row of the caches is written
  prim::Element element;
};

/// Items per block: strips of both down-projections (kv first) for every chunk; norms; heads for
/// every chunk.
static inline int64_t KvStrips(const KernelArgs& a) {
  return a.with_kv ? prim::LinearStrips(a.dkv_kr, a.blocks.chunk_tokens) : 0;
}
static inline int64_t CqStrips(const KernelArgs& a) {
  return a.with_norm ? prim::LinearStrips(a.dq, a.blocks.chunk_tokens) : 0;
}
static inline int64_t ProjectItems(const KernelArgs& a) {
  return prim::Times(prim::Plus(KvStrips(a), CqStrips(a)), prim::ChunksOf(a.blocks));
}
static inline int64_t NormItems(const KernelArgs& a) {
  return prim::PartsOf(a.blocks, prim::kNormTokens);
}
static inline int64_t HeadItems(const KernelArgs& a) {
  return a.query != nullptr || a.query_rope != nullptr
             ? prim::Times(a.heads, prim::ChunksOf(a.blocks))
             : 0;
}

/// What a block leaves between phases, in elements: cq, normed in place, then kv.
static inline int64_t SharedElems(const KernelArgs& a) {
  const int64_t kv = prim::Plus(a.latent, a.rope);
  return prim::Times(a.blocks.block_tokens, prim::Plus(a.with_norm ? a.query_rank : 0, kv));
}

/// Floats of a worker's scratch: a product, and per chunk the queries of a head, rounded; or the
/// rows of norms and rope.
static inline int64_t QueryFloats(const KernelArgs& a) {
  const int64_t elems = prim::Times(a.blocks.chunk_tokens, prim::Plus(a.nope, a.rope));
  return a.element == prim::Element::kFloat32 ? elems : prim::RoundedUp(elems, 2) / 2;
}
static inline int64_t RowFloats(const KernelArgs& a) {
  const int64_t norm = a.query_rank > a.latent ? a.query_rank : a.latent;
  const int64_t rope = prim::Times(5, a.rope);
  return norm > rope ? norm : rope;
}
static inline int64_t ScratchFloats(const KernelArgs& a) {
  const int64_t product = prim::LinearScratchFloats(a.blocks.chunk_tokens);
  return prim::Plus(product, prim::Plus(QueryFloats(a), RowFloats(a)));
}

}  // namespace tamis::mla_prolog

// indexer_prolog, one level, in two phases per block of tokens: all products by strips of columns
// or heads; then norms, rope and cache rows of keys by tokens.
#include "ops/indexer_prolog/cpu/kernel.h"
#include "prim/blocks/linear-inl.h"
#include "prim/blocks/norm-inl.h"
#include "prim/blocks/rope-inl.h"
#include "prim/formats/key_shadow-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace indexer_prolog {

using tamis::indexer_prolog::KernelArgs;
using tamis::prim::kNormTokens;
using tamis::prim::LinearWeight;
using tamis::prim::OffsetOf;
using tamis::prim::PartOf;
using tamis::prim::TokenPart;

// Rotates the first or the last channels of a head in place.
template <class Element>
void RotateHead(const KernelArgs& a, int64_t token, float* scratch,
                typename Element::Stored* head) {
  float* const sin = scratch;
  float* const cos = sin + a.rope;
  WidenAs<Element>(ElementAt<Element>(a.sin, OffsetOf(a.sin_at, token)), a.rope, sin);
  WidenAs<Element>(ElementAt<Element>(a.cos, OffsetOf(a.cos_at, token)), a.rope, cos);
  auto* const channels = head + a.rope_at;
  Rope<Element>(channels, sin, cos, a.rope, a.interleaved, cos + a.rope, channels);
}

template <class Element, class Output>
void Strip(const KernelArgs& a, const LinearWeight& w, int64_t strip, const TokenPart& tokens,
           float* scratch, const Output& output) {
  const int64_t width = LinearStrip(w, a.blocks.chunk_tokens);
  const int64_t begin = strip * width;
  const int64_t end = begin + width < w.columns ? begin + width : w.columns;
  Linear<Element>(
      w, begin, end, tokens.count, scratch,
      [&](int64_t t) { return ElementAt<Element>(a.x, OffsetOf(a.x_at, tokens.first + t)); },
      output);
}

template <class Element>
void Keys(const KernelArgs& a, int64_t strip, const TokenPart& tokens, float* scratch,
          float* keys) {
  float* const to = keys + tokens.in_block * a.dim;
  Strip<Element>(a, a.k, strip, tokens, scratch,
                 [&](int64_t t, int64_t column, const float* sums, int64_t count) {
                   for (int64_t i = 0; i < count; ++i) to[t * a.dim + column + i] = sums[i];
                 });
}

template <class Element>
void Weights(const KernelArgs& a, int64_t strip, const TokenPart& tokens, float* scratch) {
  Strip<Element>(a, a.proj, strip, tokens, scratch,
                 [&](int64_t t, int64_t column, const float* sums, int64_t count) {
                   const int64_t at = OffsetOf(a.weights_at, tokens.first + t) + column;
                   NarrowAs<Element>(sums, 1.0f, count, ElementAt<Element>(a.weights, at));
                 });
}

template <class Element>
void Head(const KernelArgs& a, int64_t head, const TokenPart& tokens, float* scratch) {
  const auto row = [&](int64_t t) {
    const int64_t at = OffsetOf(a.query_at, tokens.first + t) + head * a.query_head_stride;
    return ElementAt<Element>(a.query, at);
  };
  Linear<Element>(
      a.qb, head * a.dim, (head + 1) * a.dim, tokens.count, scratch,
      [&](int64_t t) {
        return ElementAt<Element>(a.query_norm, OffsetOf(a.query_norm_at, tokens.first + t));
      },
      [&](int64_t t, int64_t column, const float* sums, int64_t count) {
        NarrowAs<Element>(sums, 1.0f, count, row(t) + (column - head * a.dim));
      });
  float* const rope = scratch + tamis::prim::LinearScratchFloats(a.blocks.chunk_tokens);
  for (int64_t t = 0; t < tokens.count; ++t) RotateHead<Element>(a, tokens.first + t, rope, row(t));
}

template <class Element>
void Project(const KernelArgs& a, int64_t item, float* scratch, float* keys) {
  const int64_t per_block = ProjectItems(a);
  const int64_t chunks = ChunksOf(a.blocks);
  const TokenPart tokens = PartOf(a.blocks, item / per_block, item % chunks, a.blocks.chunk_tokens);
  if (tokens.count <= 0) return;
  const int64_t part = item % per_block / chunks;
  if (part < KeyStrips(a)) return Keys<Element>(a, part, tokens, scratch, keys);
  const int64_t after_keys = part - KeyStrips(a);
  if (after_keys < WeightStrips(a)) return Weights<Element>(a, after_keys, tokens, scratch);
  Head<Element>(a, after_keys - WeightStrips(a), tokens, scratch);
}

template <class Element>
void Norm(const KernelArgs& a, int64_t item, float* scratch, float* keys) {
  const TokenPart tokens = PartOf(a.blocks, item / NormItems(a), item % NormItems(a), kNormTokens);
  for (int64_t i = 0; i < tokens.count; ++i) {
    const int64_t slot = a.slots[tokens.first + i];
    if (slot < 0) continue;
    auto* const row = ElementAt<Element>(a.cache, OffsetOf(a.cache_at, slot));
    LayerNorm<Element>(keys + (tokens.in_block + i) * a.dim, ElementAt<Element>(a.gamma, 0),
                       ElementAt<Element>(a.beta, 0), a.dim, a.epsilon, row);
    RotateHead<Element>(a, tokens.first + i, scratch, row);
    if (a.shadow == nullptr) continue;
    const int64_t key = slot % a.cache_at.page_size;
    uint8_t* const panel = a.shadow + slot / a.cache_at.page_size * a.shadow_page_stride +
                           key / tamis::prim::kShadowKeys * a.shadow_panel_stride;
    ShadowKey<Element>(row, a.dim, key % tamis::prim::kShadowKeys,
                       reinterpret_cast<uint8_t*>(scratch + 5 * a.rope), panel);
  }
}

}  // namespace indexer_prolog
}  // namespace

void IndexerPrologProject(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace indexer_prolog;
  const auto& a = *static_cast<const KernelArgs*>(args);
  auto* const floats = static_cast<float*>(scratch);
  auto* const keys = static_cast<float*>(shared);
  WithElement(
      a.element, [&](auto e) __attribute__((always_inline)) {
        Project<decltype(e)>(a, item, floats, keys);
      });
}

void IndexerPrologNorm(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace indexer_prolog;
  const auto& a = *static_cast<const KernelArgs*>(args);
  auto* const floats = static_cast<float*>(scratch);
  auto* const keys = static_cast<float*>(shared);
  WithElement(
      a.element, [&](auto e)
                     __attribute__((always_inline)) { Norm<decltype(e)>(a, item, floats, keys); });
}

}  // namespace tamis::TAMIS_LEVEL

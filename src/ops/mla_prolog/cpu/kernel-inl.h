// mla_prolog, one level, in three phases per block of tokens: both down-projections by strips of
// columns; norms, rope and cache rows by tokens; queries by heads.
#include "ops/mla_prolog/cpu/kernel.h"
#include "prim/blocks/linear-inl.h"
#include "prim/blocks/norm-inl.h"
#include "prim/blocks/rope-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace mla {

using tamis::mla_prolog::KernelArgs;
using tamis::prim::kNormTokens;
using tamis::prim::LinearWeight;
using tamis::prim::OffsetOf;
using tamis::prim::PartOf;
using tamis::prim::TokenPart;

// What one block leaves in the shared part of the workspace: rows of its tokens.
template <class Element>
struct Rows {
  typename Element::Stored* cq;  // [block_tokens][query_rank], null where no query is wanted
  typename Element::Stored* kv;  // [block_tokens][latent + rope]
};
template <class Element>
Rows<Element> RowsOf(const KernelArgs& a, void* shared) {
  auto* const cq = ElementAt<Element>(shared, 0);
  return {cq, cq + (a.with_norm ? a.blocks.block_tokens * a.query_rank : 0)};
}

// to = round(sums + bias)
template <class Element>
TAMIS_INLINE void NarrowSum(const float* sums, const typename Element::Stored* bias, int64_t count,
                            typename Element::Stored* to) {
  ForVectors(count, [&](int64_t c, int n) {
    Element::StoreElementsN(to + c, Add(LoadN(sums + c, n), Element::LoadElementsN(bias + c, n)),
                            n);
  });
}

// A chunk of tokens times a strip of a down-projection.
template <class Element>
void Project(const KernelArgs& a, int64_t item, float* scratch, const Rows<Element>& rows) {
  const int64_t per_block = ProjectItems(a);
  const int64_t strip = item % per_block / ChunksOf(a.blocks);
  const int64_t chunks = ChunksOf(a.blocks);
  const TokenPart tokens = PartOf(a.blocks, item / per_block, item % chunks, a.blocks.chunk_tokens);
  if (tokens.count <= 0) return;
  const bool is_kv = strip < KvStrips(a);
  const LinearWeight& w = is_kv ? a.dkv_kr : a.dq;
  auto* const to = (is_kv ? rows.kv : rows.cq) + tokens.in_block * w.columns;
  const int64_t width = LinearStrip(w, a.blocks.chunk_tokens);
  const int64_t begin = (is_kv ? strip : strip - KvStrips(a)) * width;
  const int64_t end = begin + width < w.columns ? begin + width : w.columns;
  const bool with_bias = is_kv ? a.with_bias_kv : a.with_bias_dq;
  const void* const bias = is_kv ? a.bias_dkv_kr : a.bias_dq;
  Linear<Element>(
      w, begin, end, tokens.count, scratch,
      [&](int64_t t) { return ElementAt<Element>(a.x, OffsetOf(a.x_at, tokens.first + t)); },
      [&](int64_t t, int64_t column, const float* sums, int64_t count) {
        auto* const row = to + t * w.columns + column;
        if (with_bias)
          return NarrowSum<Element>(sums, ElementAt<Element>(bias, column), count, row);
        NarrowAs<Element>(sums, 1.0f, count, row);
      });
}

// Norms of a few tokens; their cache rows are done then.
template <class Element>
void Norm(const KernelArgs& a, int64_t item, float* scratch, const Rows<Element>& rows) {
  const TokenPart tokens = PartOf(a.blocks, item / NormItems(a), item % NormItems(a), kNormTokens);
  for (int64_t i = 0; i < tokens.count; ++i) {
    const int64_t token = tokens.first + i;
    auto* const kv = rows.kv + (tokens.in_block + i) * (a.latent + a.rope);
    const int64_t row = a.slots[token];
    if (row >= 0) {
      RmsNorm<Element>(kv, ElementAt<Element>(a.gamma_ckv, 0), a.latent, a.epsilon_ckv, scratch,
                       ElementAt<Element>(a.kv_cache, OffsetOf(a.kv_cache_at, row)));
      auto* const kr = kv + a.latent;
      if (a.with_gamma_kr)
        RmsNorm<Element>(kr, ElementAt<Element>(a.gamma_kr, 0), a.rope, a.epsilon_kr, scratch, kr);
      float* const sin = scratch;
      float* const cos = sin + a.rope;
      WidenAs<Element>(ElementAt<Element>(a.sin, OffsetOf(a.sin_at, token)), a.rope, sin);
      WidenAs<Element>(ElementAt<Element>(a.cos, OffsetOf(a.cos_at, token)), a.rope, cos);
      Rope<Element>(kr, sin, cos, a.rope, a.interleaved, cos + a.rope,
                    ElementAt<Element>(a.kr_cache, OffsetOf(a.kr_cache_at, row)));
    }
    if (!a.with_norm) continue;
    auto* const cq = rows.cq + (tokens.in_block + i) * a.query_rank;
    RmsNorm<Element>(cq, ElementAt<Element>(a.gamma_cq, 0), a.query_rank, a.epsilon_cq, scratch,
                     cq);
    if (a.query_norm == nullptr) continue;
    auto* const to = ElementAt<Element>(a.query_norm, OffsetOf(a.query_norm_at, token));
    for (int64_t c = 0; c < a.query_rank; ++c) to[c] = cq[c];
  }
}

// A head of a chunk of tokens: its queries, then what is absorbed and what is rotated.
template <class Element>
void Head(const KernelArgs& a, int64_t item, float* scratch, const Rows<Element>& rows) {
  const int64_t per_block = HeadItems(a);
  const int64_t head = item % per_block / ChunksOf(a.blocks);
  const int64_t chunks = ChunksOf(a.blocks);
  const TokenPart tokens = PartOf(a.blocks, item / per_block, item % chunks, a.blocks.chunk_tokens);
  if (tokens.count <= 0) return;
  const int64_t width = a.nope + a.rope;
  float* const row = scratch + tamis::prim::LinearScratchFloats(a.blocks.chunk_tokens);
  auto* const q = ElementAt<Element>(static_cast<void*>(row + RowFloats(a)), 0);
  const int64_t begin = a.query != nullptr ? 0 : a.nope;
  const int64_t end = a.query_rope != nullptr ? width : a.nope;
  Linear<Element>(
      a.uq_qr, head * width + begin, head * width + end, tokens.count, scratch,
      [&](int64_t t) -> const typename Element::Stored* {
        if (!a.with_source) return rows.cq + (tokens.in_block + t) * a.query_rank;
        const int64_t at = OffsetOf(a.query_source_at, tokens.first + t);
        return ElementAt<Element>(a.query_source, at);
      },
      [&](int64_t t, int64_t column, const float* sums, int64_t count) {
        NarrowAs<Element>(sums, 1.0f, count, q + t * width + (column - head * width));
      });
  if (a.query != nullptr) {
    LinearWeight uk = a.uk;
    uk.data = ElementAt<Element>(uk.data, head * a.uk_head_stride);
    Linear<Element>(
        uk, 0, a.latent, tokens.count, scratch, [&](int64_t t) { return q + t * width; },
        [&](int64_t t, int64_t column, const float* sums, int64_t count) {
          const int64_t at = OffsetOf(a.query_at, tokens.first + t) + head * a.query_head_stride;
          NarrowAs<Element>(sums, 1.0f, count, ElementAt<Element>(a.query, at + column));
        });
  }
  for (int64_t t = 0; t < tokens.count && a.query_rope != nullptr; ++t) {
    const int64_t token = tokens.first + t;
    WidenAs<Element>(ElementAt<Element>(a.sin, OffsetOf(a.sin_at, token)), a.rope, row);
    WidenAs<Element>(ElementAt<Element>(a.cos, OffsetOf(a.cos_at, token)), a.rope, row + a.rope);
    const int64_t at = OffsetOf(a.query_rope_at, token) + head * a.query_rope_head_stride;
    Rope<Element>(q + t * width + a.nope, row, row + a.rope, a.rope, a.interleaved,
                  row + 2 * a.rope, ElementAt<Element>(a.query_rope, at));
  }
}

}  // namespace mla
}  // namespace

void MlaPrologProject(const void* args, int64_t item, void* scratch, void* shared) {
  const auto& a = *static_cast<const mla::KernelArgs*>(args);
  auto* const floats = static_cast<float*>(scratch);
  WithElement(
      a.element, [&](auto e) __attribute__((always_inline)) {
        mla::Project<decltype(e)>(a, item, floats, mla::RowsOf<decltype(e)>(a, shared));
      });
}

void MlaPrologNorm(const void* args, int64_t item, void* scratch, void* shared) {
  const auto& a = *static_cast<const mla::KernelArgs*>(args);
  auto* const floats = static_cast<float*>(scratch);
  WithElement(
      a.element, [&](auto e) __attribute__((always_inline)) {
        mla::Norm<decltype(e)>(a, item, floats, mla::RowsOf<decltype(e)>(a, shared));
      });
}

void MlaPrologHead(const void* args, int64_t item, void* scratch, void* shared) {
  const auto& a = *static_cast<const mla::KernelArgs*>(args);
  auto* const floats = static_cast<float*>(scratch);
  WithElement(
      a.element, [&](auto e) __attribute__((always_inline)) {
        mla::Head<decltype(e)>(a, item, floats, mla::RowsOf<decltype(e)>(a, shared));
      });
}

}  // namespace tamis::TAMIS_LEVEL

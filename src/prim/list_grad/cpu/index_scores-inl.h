// A query token's index scores over its list, and from dI, which the operator has of its own, the
// gradients of the token's queries and weights. Heads lie on the lanes but in gradients of queries.
#pragma once

#include "prim/list_grad/cpu/index_scores.h"
#include "prim/list_grad/cpu/rows-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace list_grad {

using prim::list_grad::FactorStride;
using prim::list_grad::IndexArgs;
using prim::list_grad::IndexScratch;

// Heads whose gradients are added up in one call.
constexpr int64_t kHeadsAtOnce = 64;

struct IndexWorker {
  const IndexArgs& a;
  const IndexScratch& at;
  const Group& group;
  const Sequence& s;
  Token token;
  float* scratch;

  const prim::attention::Args& attend() const { return a.list.attend; }
  int64_t heads() const { return attend().group; }
  int64_t stride() const { return FactorStride(a.list); }
  float* FactorsOf(int64_t key) const { return token.table(0) + key * stride(); }
  float* repeats() const { return scratch + at.list + ListScratch(a.list).repeats; }
  float* score_grads() const { return scratch + at.score_grads; }
};

// `heads` numbers, factors[h] relu(row[h]) of each. Those past the last may be NaN.
inline float WeightedSum(const float* row, const float* factors, int64_t heads) {
  V sum = Zero();
  for (int64_t v = 0; v < heads; v += kLanes) {
    const int64_t rest = heads - v;
    const V x = rest >= kLanes ? Load(row + v) : LoadN(row + v, static_cast<int>(rest));
    sum = Fma(Max(Zero(), x), Load(factors + v), sum);
  }
  return SumLanes(sum);
}

inline void LoadWeights(const IndexWorker& w) {
  float* const weights = w.scratch + w.at.weights;
  Clear(weights, w.stride());
  WidenAny(w.a.weights_element, HeadAt(w.a.weights, w.s, w.group.token, 0), w.heads(), weights);
}

// S of the whole list, and where `scores` is not null I.
inline void FindProducts(const IndexWorker& w, float* scores) {
  const prim::attention::Args& a = w.attend();
  const int64_t columns = ColumnsOf(a.dim);
  float* const queries = w.scratch + w.at.queries;
  float* const keys = w.scratch + w.at.keys;
  LoadWeights(w);
  PackHeads(a.element, a.query, w.heads(), w.s, w.group.token, a.dim, columns, 0, queries);
  for (int64_t first = 0; first < w.token.count; first += kTileKeys) {
    const int64_t count = Smaller(kTileKeys, w.token.count - first);
    SpreadTile(a.element, a.sources[0].key, w.s, w.token.positions + first, count, a.dim, 0,
               w.at.key_stride, keys);
    ProductsOfKeys(keys, w.at.key_stride, queries, columns, count,
                   (w.heads() + kLanes - 1) / kLanes, w.FactorsOf(first), w.stride(), AsIs());
    for (int64_t k = first; scores != nullptr && k < first + count; ++k)
      scores[k] = WeightedSum(w.FactorsOf(k), w.scratch + w.at.weights, w.heads());
  }
}

// dw; dS takes the place of S.
inline void FindFactors(const IndexWorker& w) {
  const float* const grads = w.score_grads();
  for (int64_t v = 0; v < w.stride(); v += kLanes) {
    const V weight = Load(w.scratch + w.at.weights + v);
    V sum = Zero();
    for (int64_t k = 0; k < w.token.count; ++k) {
      float* const factor = w.FactorsOf(k) + v;
      const V product = Load(factor);
      const V grad = Set(grads[k]);
      sum = Fma(grad, Max(Zero(), product), sum);
      Store(factor, IfPositive(product, Mul(grad, weight)));
    }
    Store(w.scratch + w.at.weight_grads + v, sum);
  }
}

inline void AddQueryGrads(const IndexWorker& w, int64_t first, int64_t count) {
  const prim::attention::Args& a = w.attend();
  float* const keys = w.scratch + w.at.keys;
  float* const grads = w.scratch + w.at.query_grads;
  for (int64_t k = 0; k < count; ++k)
    WidenRow(a.element, RowAt(a.sources[0].key, w.s, w.token.positions[first + k]), a.dim,
             w.at.dim_stride, keys + k * w.at.key_stride);
  for (int64_t h = 0; h < w.heads(); h += kHeadsAtOnce) {
    const int64_t heads = Smaller(kHeadsAtOnce, w.heads() - h);
    float* rows[kHeadsAtOnce];
    for (int64_t i = 0; i < kHeadsAtOnce; ++i)
      rows[i] = grads + (i < heads ? h + i : w.heads()) * w.at.dim_stride;
    AddProducts({w.FactorsOf(first) + h, 1, w.stride()}, keys, w.at.key_stride, count, rows, heads,
                w.at.dim_stride);
  }
}

// Where dI of the list is in score_grads: dS for the second phase, and what the token has of its
// own.
inline void FindIndexGrads(const IndexWorker& w) {
  const prim::attention::Args& a = w.attend();
  FindFactors(w);
  if (w.a.weights_grad.data != nullptr)
    NarrowAny(w.a.weights_element, w.scratch + w.at.weight_grads, w.heads(),
              HeadAt(w.a.weights_grad, w.s, w.group.token, 0));
  if (w.a.query_grad.data == nullptr) return;
  float* const grads = w.scratch + w.at.query_grads;
  Clear(grads, (w.heads() + 1) * w.at.dim_stride);
  for (int64_t first = 0; first < w.token.count; first += kTileKeys)
    AddQueryGrads(w, first, Smaller(kTileKeys, w.token.count - first));
  for (int64_t h = 0; h < w.heads(); ++h)
    Narrow(a.element, grads + h * w.at.dim_stride, 1.0f, a.dim,
           HeadAt(w.a.query_grad, w.s, w.group.token, h));
}

}  // namespace list_grad
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

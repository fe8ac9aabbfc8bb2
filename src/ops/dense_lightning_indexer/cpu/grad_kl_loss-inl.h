// dense_lightning_indexer_grad_kl_loss, one level.
//
//   p[j] = mean over heads of exp(s - max) / sum       q[j] = exp(I[j] - max) / sum
//   dI[j] = row_scale (q[j] - p[j])                    dS[g, j] = dI[j] w[g] where S[g, j] > 0
//   dw[g] = sum_j dI[j] relu(S[g, j])      dq[g] = sum_j dS[g, j] k[j]      dk[j] = sum dS[g, j]
//   q[g]
//
// Query tokens lie on the lanes, but in the last two sums: there dims do.
#include "ops/dense_lightning_indexer/cpu/grad_kl_loss.h"
#include "ops/dense_lightning_indexer/cpu/scores-inl.h"
#include "prim/blocks/find-inl.h"
#include "prim/blocks/log-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace dense_indexer {

using prim::attention_grad::Part;
using tamis::dense_lightning_indexer_grad_kl_loss::KernelArgs;
using tamis::dense_lightning_indexer_grad_kl_loss::kHeadsPerSum;
using tamis::dense_lightning_indexer_grad_kl_loss::Scratch;
using tamis::dense_lightning_indexer_grad_kl_loss::Shared;
using tamis::dense_lightning_indexer_grad_kl_loss::SlotFloats;
using tamis::dense_lightning_indexer_grad_kl_loss::TokenNumbers;

constexpr float kLeastProbability = 1e-8f;  // in the loss

TAMIS_INLINE const float* NumbersOf(const TokenNumbers& of, const Sequence& s, const Group& group,
                                    int64_t token) {
  return of.data + OffsetOf(of.at, s.batch, s.token + group.token + token);
}

inline Ends EndsOf(const KernelArgs& a, const Sequence& s, const Group& group) {
  return EndsOf(s, group, [&](int64_t t) {
    return a.row_scale.data != nullptr && *NumbersOf(a.row_scale, s, group, t) == 0.0f;
  });
}

// dI of a group.
inline float* SlotOf(const KernelArgs& a, int64_t group, void* shared) {
  return static_cast<float*>(shared) + Shared(a).slots + group % a.groups_per_chunk * SlotFloats(a);
}

// --- the first phase

struct Worker {
  const KernelArgs& a;
  const Scratch& at;
  const Sequence& s;
  const Group& group;
  const Ends& ends;
  float* floats;
  float* slot;

  float* row(Scratch::Row row) const { return floats + at.rows + row * kGroupTokens; }
  float* products(int64_t head) const { return floats + at.products + head * kTilePairs; }
  float* grads(int64_t head) const {
    return floats + at.query_grads + head * kGroupTokens * at.dim_stride;
  }
  bool wants_queries() const { return a.query_grad.data != nullptr; }
  bool wants_weights() const { return a.weights_grad.data != nullptr; }
};

struct Tile {
  int64_t begin;
  int64_t count;
  bool cut;  // some token does not see all of its keys
};

// A statistic of every token and 1 / the other; tokens that see nothing have probabilities of 0.
inline void LoadStatistics(const Worker& w, const TokenNumbers& max, const TokenNumbers& sum,
                           int64_t head, float* to_max, float* to_factor) {
  for (int64_t t = 0; t < kGroupTokens; ++t) {
    const bool sees = w.ends.of[t] > 0;
    to_max[t] = sees ? NumbersOf(max, w.s, w.group, t)[head] : 0.0f;
    to_factor[t] = sees ? 1.0f / NumbersOf(sum, w.s, w.group, t)[head] : 0.0f;
  }
}

inline void BeginGroup(const Worker& w) {
  LoadStatistics(w, w.a.max_index, w.a.sum_index, 0, w.row(Scratch::kMaxIndex),
                 w.row(Scratch::kFactorIndex));
  for (int64_t h = 0; h < w.a.kv_heads * w.a.group; ++h) {
    LoadStatistics(w, w.a.max, w.a.sum, h, w.floats + w.at.max + h * kGroupTokens,
                   w.floats + w.at.factor + h * kGroupTokens);
  }
  for (int64_t t = 0; t < kGroupTokens; ++t) {
    const bool sees = w.ends.of[t] > 0;
    const bool scaled = sees && w.a.row_scale.data != nullptr;
    w.row(Scratch::kScale)[t] = scaled ? *NumbersOf(w.a.row_scale, w.s, w.group, t)
                                : sees ? 1.0f
                                       : 0.0f;
    w.row(Scratch::kLoss)[t] = 0.0f;
  }
  const int64_t heads = w.a.scores.heads;
  LoadWeights(w.a.scores, w.s, w.group, w.floats + w.at.row, w.floats + w.at.weights);
  Clear(w.floats + w.at.weight_grads, heads * kGroupTokens);
  if (w.wants_queries()) Clear(w.grads(0), heads * kGroupTokens * w.at.dim_stride);
}

// p[key][token] += exp(scale product - max) factor, of one head.
inline void AddProbabilities(const Worker& w, int64_t head, int64_t count) {
  const float* const products = w.products(0);
  float* const p = w.floats + w.at.main;
  const V scale = Set(w.a.scale);
  for (int64_t v = 0; v < kGroupTokens; v += kLanes) {
    const V max = Load(w.floats + w.at.max + head * kGroupTokens + v);
    const V factor = Load(w.floats + w.at.factor + head * kGroupTokens + v);
    for (int64_t k = 0; k < count; ++k) {
      const int64_t i = k * kGroupTokens + v;
      Store(p + i, Add(Load(p + i), Probability(Load(products + i), scale, max, factor)));
    }
  }
}

// The sum over heads of the main attention's probabilities.
inline void FindProbabilities(const Worker& w, const Tile& tile) {
  const KernelArgs& a = w.a;
  const prim::Element element = a.scores.element;
  const int64_t rope_at = ColumnsOf(a.dim);
  const int64_t columns = rope_at + ColumnsOf(a.rope_dim);
  const int64_t stride = prim::KeyStrideOf(a.dim + a.rope_dim);
  float* const keys = w.floats + w.at.keys;
  float* const panels = w.floats + w.at.queries;
  Clear(w.floats + w.at.main, kTilePairs);
  for (int64_t kv_head = 0; kv_head < a.kv_heads; ++kv_head) {
    SpreadKeys(element, a.key, w.s, tile.begin, tile.count, kv_head, a.dim, 0, stride, keys);
    if (a.rope_dim > 0)
      SpreadKeys(element, a.key_rope, w.s, tile.begin, tile.count, kv_head, a.rope_dim, rope_at,
                 stride, keys);
    for (int64_t h = kv_head * a.group; h < (kv_head + 1) * a.group; ++h) {
      PackHead(element, a.query, w.s, w.group, h, a.dim, 0, columns, panels);
      if (a.rope_dim > 0)
        PackHead(element, a.query_rope, w.s, w.group, h, a.rope_dim, rope_at, columns, panels);
      ProductsOfKeys(keys, stride, panels, columns, tile.count, kGroupTokens / kLanes,
                     w.products(0), kGroupTokens, AsIs());
      AddProbabilities(w, h, tile.count);
    }
  }
  if (tile.cut) Hide(w.ends, tile.begin, tile.count, 0.0f, kGroupTokens, w.floats + w.at.main);
}

// S of all index heads, and I.
inline void FindScores(const Worker& w, const Tile& tile) {
  const Scores& of = w.a.scores;
  float* const keys = w.floats + w.at.keys;
  float* const scores = w.floats + w.at.scores;
  SpreadKeys(of.element, of.key, w.s, tile.begin, tile.count, 0, of.dim, 0,
             prim::KeyStrideOf(of.dim), keys);
  Clear(scores, kTilePairs);
  for (int64_t g = 0; g < of.heads; ++g) {
    IndexProducts(of, w.s, w.group, g, keys, tile.count, w.floats + w.at.queries, kGroupTokens,
                  w.products(g));
    if (tile.cut) Hide(w.ends, tile.begin, tile.count, 0.0f, kGroupTokens, w.products(g));
    AddScores(w.products(g), w.floats + w.at.weights + g * kGroupTokens, tile.count, scores);
  }
  if (tile.cut) Hide(w.ends, tile.begin, tile.count, 0.0f, kGroupTokens, scores);
}

// What a tile adds to the losses, and dI, which takes the place of the probabilities.
inline void FindScoreGrads(const Worker& w, const Tile& tile) {
  float* const main = w.floats + w.at.main;
  const float* const scores = w.floats + w.at.scores;
  const V share = Set(1.0f / static_cast<float>(w.a.kv_heads * w.a.group));
  const V least = Set(kLeastProbability);
  for (int64_t v = 0; v < kGroupTokens; v += kLanes) {
    const V max = Load(w.row(Scratch::kMaxIndex) + v);
    const V factor = Load(w.row(Scratch::kFactorIndex) + v);
    const V scale = Load(w.row(Scratch::kScale) + v);
    V loss = Load(w.row(Scratch::kLoss) + v);
    for (int64_t k = 0; k < tile.count; ++k) {
      const int64_t i = k * kGroupTokens + v;
      const V p = Mul(Load(main + i), share);
      const V q = Probability(Load(scores + i), Set(1.0f), max, factor);
      loss = Fma(p, Log(Div(Max(least, p), Max(least, q))), loss);
      Store(main + i, Mul(Sub(q, p), scale));
    }
    Store(w.row(Scratch::kLoss) + v, loss);
  }
  if (tile.cut) Hide(w.ends, tile.begin, tile.count, 0.0f, kGroupTokens, main);
  Copy(main, tile.count * kGroupTokens, w.slot + tile.begin * kGroupTokens);
}

// What a tile adds to the gradients of a head's weights; dS takes the place of S.
inline void AddWeightGrads(const Worker& w, int64_t head, int64_t count) {
  float* const products = w.products(head);
  float* const grads = w.floats + w.at.weight_grads + head * kGroupTokens;
  const float* const weights = w.floats + w.at.weights + head * kGroupTokens;
  const float* const main = w.floats + w.at.main;
  for (int64_t v = 0; v < kGroupTokens; v += kLanes) {
    const V weight = Load(weights + v);
    V grad = Load(grads + v);
    for (int64_t k = 0; k < count; ++k) {
      const int64_t i = k * kGroupTokens + v;
      const V product = Load(products + i);
      const V score_grad = Load(main + i);
      grad = Fma(score_grad, Max(Zero(), product), grad);
      Store(products + i, IfPositive(product, Mul(score_grad, weight)));
    }
    Store(grads + v, grad);
  }
}

// What a tile adds to the gradients of the group's index queries.
inline void AddQueryGrads(const Worker& w, const Tile& tile) {
  const Scores& of = w.a.scores;
  const int64_t stride = prim::KeyStrideOf(of.dim);
  float* const keys = w.floats + w.at.keys;
  for (int64_t k = 0; k < tile.count; ++k)
    WidenRow(of.element, KeyRow(of.key, w.s, tile.begin + k, 0), of.dim, w.at.dim_stride,
             keys + k * stride);
  const bool apart = tile.cut && HasNonFinite(keys, tile.count, stride, w.at.dim_stride);
  for (int64_t g = 0; g < of.heads; ++g) {
    const float* const factors = w.products(g);
    float* rows[kGroupTokens];
    for (int64_t t = 0; t < kGroupTokens; ++t) rows[t] = w.grads(g) + t * w.at.dim_stride;
    if (!apart) {
      AddProducts({factors, 1, kGroupTokens}, keys, stride, tile.count, rows, kGroupTokens,
                  w.at.dim_stride);
      continue;
    }
    for (int64_t t = 0; t < kGroupTokens; ++t) {
      for (int64_t k = 0; k < Smaller(tile.count, w.ends.of[t] - tile.begin); ++k)
        AddRow(factors[k * kGroupTokens + t], keys + k * stride, rows[t], w.at.dim_stride);
    }
  }
}

inline void TakeTile(const Worker& w, int64_t begin) {
  const int64_t count = Smaller(kTileKeys, w.ends.most - begin);
  const Tile tile = {begin, count, w.ends.Cut(begin + count)};
  FindProbabilities(w, tile);
  FindScores(w, tile);
  FindScoreGrads(w, tile);
  if (!w.wants_queries() && !w.wants_weights()) return;
  for (int64_t g = 0; g < w.a.scores.heads; ++g) AddWeightGrads(w, g, count);
  if (w.wants_queries()) AddQueryGrads(w, tile);
}

// --- results of a group

inline void WriteGrads(const Worker& w, int64_t token) {
  const Scores& of = w.a.scores;
  for (int64_t g = 0; g < of.heads && w.wants_queries(); ++g) {
    Narrow(of.element, w.grads(g) + token * w.at.dim_stride, 1.0f, of.dim,
           const_cast<uint8_t*>(HeadRow(w.a.query_grad, w.s, w.group, token, g)));
  }
  if (!w.wants_weights()) return;
  float* const row = w.floats + w.at.row;
  for (int64_t g = 0; g < of.heads; ++g)
    row[g] = w.floats[w.at.weight_grads + g * kGroupTokens + token];
  NarrowAny(of.weights_element, row, of.heads,
            const_cast<uint8_t*>(HeadRow(w.a.weights_grad, w.s, w.group, token, 0)));
}

inline void WriteLoss(const Worker& w, int64_t token, void* shared) {
  const float loss = w.row(Scratch::kLoss)[token] * w.row(Scratch::kScale)[token];
  static_cast<float*>(shared)[Shared(w.a).losses + w.s.row_begin + w.group.token + token] = loss;
  if (w.a.row_loss == nullptr) return;
  w.a.row_loss[OffsetOf(w.a.row_loss_at, w.s.batch, w.s.token + w.group.token + token)] = loss;
}

// --- the second phase

struct KeyWorker {
  const KernelArgs& a;
  const Scratch& at;
  const Part& part;
  int64_t begin;  // of the tile, in the part
  int64_t count;
  float* floats;
  void* shared;

  float* sums() const { return floats + at.key_grads; }
  // Where the tile's sums wait between chunks.
  float* waiting() const {
    return static_cast<float*>(shared) + Shared(a).sums + (part.sum_begin + begin) * at.dim_stride;
  }
};

// dS of some heads of a group, as [key][head, token], and their queries. Of keys that no token of
// the group sees the slot holds anything: their products are 0, and so is dS.
inline void FindFactors(const KeyWorker& w, const Sequence& s, const Group& group, const Ends& ends,
                        const float* slot, int64_t head, int64_t heads) {
  constexpr int64_t kStride = kHeadsPerSum * kGroupTokens;
  const Scores& of = w.a.scores;
  float* const terms = w.floats + w.at.terms;
  for (int64_t h = 0; h < heads; ++h) {
    float* const factors = w.floats + w.at.factors + h * kGroupTokens;
    IndexProducts(of, s, group, head + h, w.floats + w.at.keys, w.count, w.floats + w.at.queries,
                  kStride, factors);
    if (ends.Cut(w.begin + w.count)) Hide(ends, w.begin, w.count, 0.0f, kStride, factors);
    for (int64_t v = 0; v < kGroupTokens; v += kLanes) {
      const V weight = Load(w.floats + w.at.weights + (head + h) * kGroupTokens + v);
      for (int64_t k = 0; k < w.count; ++k) {
        float* const factor = factors + k * kStride + v;
        const V grad = Load(slot + (w.begin + k) * kGroupTokens + v);
        Store(factor, IfPositive(Load(factor), Mul(grad, weight)));
      }
    }
    for (int64_t t = 0; t < kGroupTokens; ++t) {
      float* const term = terms + (h * kGroupTokens + t) * w.at.dim_stride;
      if (t < group.tokens) {
        WidenRow(of.element, HeadRow(of.query, s, group, t, head + h), of.dim, w.at.dim_stride,
                 term);
      } else {
        Clear(term, w.at.dim_stride);
      }
    }
  }
}

// What some heads of a group add to the tile's keys.
inline void AddFactors(const KeyWorker& w, const Ends& ends, int64_t heads) {
  constexpr int64_t kStride = kHeadsPerSum * kGroupTokens;
  const float* const factors = w.floats + w.at.factors;
  const float* const terms = w.floats + w.at.terms;
  const int64_t count = heads * kGroupTokens;
  const int64_t stride = w.at.dim_stride;
  if (!ends.Cut(w.begin + w.count) || !HasNonFinite(terms, count, stride, stride)) {
    float* rows[kTileKeys];
    for (int64_t k = 0; k < kTileKeys; ++k) rows[k] = w.sums() + k * stride;
    return AddProducts({factors, kStride, 1}, terms, stride, count, rows, w.count, stride);
  }
  for (int64_t term = 0; term < count; ++term) {
    const int64_t end = Smaller(w.count, ends.of[term % kGroupTokens] - w.begin);
    for (int64_t k = 0; k < end; ++k)
      AddRow(factors[k * kStride + term], terms + term * stride, w.sums() + k * stride, stride);
  }
}

inline void AddGroup(const KeyWorker& w, int64_t index) {
  const KernelArgs& a = w.a;
  const Group& group = a.groups[index];
  const Sequence& s = a.sequences[group.sequence];
  const Ends ends = EndsOf(a, s, group);
  if (ends.most <= w.begin) return;
  LoadWeights(a.scores, s, group, w.floats + w.at.row, w.floats + w.at.weights);
  for (int64_t g = 0; g < a.scores.heads; g += kHeadsPerSum) {
    const int64_t heads = Smaller(kHeadsPerSum, a.scores.heads - g);
    FindFactors(w, s, group, ends, SlotOf(a, index, w.shared), g, heads);
    AddFactors(w, ends, heads);
  }
}

// To the output, or for the next chunk.
inline void EndTile(const KeyWorker& w) {
  if (!w.part.last) return Copy(w.sums(), w.count * w.at.dim_stride, w.waiting());
  const prim::attention_grad::GradRows& rows = w.a.key_grad;
  for (int64_t k = 0; k < w.count; ++k) {
    Narrow(w.a.scores.element, w.sums() + k * w.at.dim_stride, 1.0f, w.a.scores.dim,
           rows.data + w.part.batch * rows.page_stride +
               (w.part.key_begin + w.begin + k) * rows.row_stride);
  }
}

}  // namespace dense_indexer
}  // namespace

void DenseIndexerLossQueries(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace dense_indexer;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Scratch at(a);
  const Group& group = a.groups[item];
  const Sequence& s = a.sequences[group.sequence];
  const Ends ends = EndsOf(a, s, group);
  const Worker w = {a, at, s, group, ends, static_cast<float*>(scratch), SlotOf(a, item, shared)};
  BeginGroup(w);
  for (int64_t begin = 0; begin < ends.most; begin += kTileKeys) TakeTile(w, begin);
  for (int64_t t = 0; t < group.tokens; ++t) {
    WriteGrads(w, t);
    WriteLoss(w, t, shared);
  }
}

void DenseIndexerLossKeys(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace dense_indexer;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Scratch at(a);
  const Part& part = a.parts[LastBeginningBy(a.parts, a.part_count, &Part::item_begin, item)];
  const int64_t begin = (item - part.item_begin) * kTileKeys;
  const KeyWorker w = {
      a,     at, part, begin, Smaller(kTileKeys, part.keys - begin), static_cast<float*>(scratch),
      shared};
  Clear(w.sums(), kTileKeys * at.dim_stride);
  if (!part.first) Copy(w.waiting(), w.count * at.dim_stride, w.sums());
  if (part.groups > 0) {
    const Sequence& s = a.sequences[part.sequence];
    SpreadKeys(a.scores.element, a.scores.key, s, begin, w.count, 0, a.scores.dim, 0,
               prim::KeyStrideOf(a.scores.dim), w.floats + at.keys);
  }
  for (int64_t g = part.group_begin; g < part.group_begin + part.groups; ++g) AddGroup(w, g);
  EndTile(w);
}

}  // namespace tamis::TAMIS_LEVEL

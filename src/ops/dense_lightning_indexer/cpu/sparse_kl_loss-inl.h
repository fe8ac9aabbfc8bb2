// sparse_lightning_indexer_grad_kl_loss, one level: a query token and its list.
//
//   p[j] = mean over heads of exp(s - max) / sum       q = softmax of I over the list
//   dI[j] = row_scale (q[j] - p[j])
//
// Heads lie on the lanes of products, positions on those of both distributions.
#include "ops/dense_lightning_indexer/cpu/sparse_kl_loss.h"
#include "prim/blocks/log-inl.h"
#include "prim/list_grad/cpu/index_scores-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_indexer_loss {

using list_grad::IndexWorker;
using list_grad::kTileKeys;
using list_grad::Smaller;
using prim::list_grad::kLine;
using tamis::sparse_lightning_indexer_grad_kl_loss::KernelArgs;
using tamis::sparse_lightning_indexer_grad_kl_loss::Scratch;
using tamis::sparse_lightning_indexer_grad_kl_loss::Shared;

constexpr float kLeastProbability = 1e-8f;  // in the loss

struct Worker {
  const KernelArgs& a;
  const Scratch& at;
  const IndexWorker& index;

  float* floats(int64_t part) const { return index.scratch + part; }
  int64_t token() const { return index.s.token + index.group.token; }
  // Positions in whole lines: those past the last count 0 times.
  int64_t padded() const { return prim::RoundedUp(index.token.count, kLine); }
};

inline float SumOf(const float* row, int64_t count) {
  V sum = Zero();
  for (int64_t v = 0; v < count; v += kLanes) {
    const int64_t rest = count - v;
    sum = Add(sum, rest >= kLanes ? Load(row + v) : LoadN(row + v, static_cast<int>(rest)));
  }
  return SumLanes(sum);
}

// The sum over heads of the main attention's probabilities.
inline void FindProbabilities(const Worker& w) {
  const KernelArgs& a = w.a;
  const IndexWorker& of = w.index;
  const prim::Element element = of.attend().element;
  const int64_t rope_at = ColumnsOf(a.dim);
  const int64_t columns = rope_at + ColumnsOf(a.rope_dim);
  float* const queries = w.floats(w.at.queries);
  float* const keys = w.floats(w.at.keys);
  float* const products = w.floats(w.at.products);
  const auto pack = [&](const prim::attention::Heads& heads, int64_t dim, int64_t first) {
    list_grad::PackHeads(element, heads, a.heads, of.s, of.group.token, dim, columns, first,
                         queries);
  };
  pack(a.query, a.dim, 0);
  if (a.rope_dim > 0) pack(a.query_rope, a.rope_dim, rope_at);
  list_grad::LoadStatistics(a.max + OffsetOf(a.max_at, of.s.batch, w.token()),
                            a.sum + OffsetOf(a.sum_at, of.s.batch, w.token()), a.heads,
                            w.at.head_stride, w.floats(w.at.max), w.floats(w.at.factor));
  const Probabilities finish = {Set(a.scale), w.floats(w.at.max), w.floats(w.at.factor)};
  for (int64_t first = 0; first < of.token.count; first += kTileKeys) {
    const int64_t count = Smaller(kTileKeys, of.token.count - first);
    const int32_t* const positions = of.token.positions + first;
    list_grad::SpreadTile(element, a.key, of.s, positions, count, a.dim, 0, w.at.key_stride, keys);
    if (a.rope_dim > 0)
      list_grad::SpreadTile(element, a.key_rope, of.s, positions, count, a.rope_dim, rope_at,
                            w.at.key_stride, keys);
    ProductsOfKeys(keys, w.at.key_stride, queries, columns, count, (a.heads + kLanes - 1) / kLanes,
                   products, w.at.head_stride, finish);
    for (int64_t k = 0; k < count; ++k)
      w.floats(w.at.main)[first + k] = SumOf(products + k * w.at.head_stride, a.heads);
  }
}

// What lies past the last position: counts 0 times, and is as the first.
inline void PadPositions(const Worker& w) {
  float* const main = w.floats(w.at.main);
  float* const scores = w.floats(w.at.scores);
  for (int64_t k = w.index.token.count; k < w.padded(); ++k) {
    main[k] = main[0];
    scores[k] = scores[0];
    w.index.repeats()[k] = 0.0f;
  }
}

// Sum of x over the list, as often as it names each position.
inline float SumOfList(const Worker& w, const float* x) {
  V sum = Zero();
  for (int64_t k = 0; k < w.padded(); k += kLanes)
    sum = Fma(Load(w.index.repeats() + k), Load(x + k), sum);
  return SumLanes(sum);
}

// exp(I - max) in the place of I; says 1 / their sum.
inline float Exponentials(const Worker& w) {
  float* const scores = w.floats(w.at.scores);
  float max = scores[0];
  for (int64_t k = 1; k < w.index.token.count; ++k) max = scores[k] > max ? scores[k] : max;
  for (int64_t k = 0; k < w.padded(); k += kLanes)
    Store(scores + k, Probability(Load(scores + k), Set(1.0f), Set(max), Set(1.0f)));
  return 1.0f / SumOfList(w, scores);
}

// Of a probability's sum over heads, its share.
inline float ShareOf(const Worker& w) {
  const float sum =
      w.a.normalise ? SumOfList(w, w.floats(w.at.main)) : static_cast<float>(w.a.heads);
  return sum == 0.0f ? 0.0f : 1.0f / sum;
}

// The divergence, and dI.
inline float FindLoss(const Worker& w, float row_scale) {
  PadPositions(w);
  const V share = Set(ShareOf(w));
  const V factor = Set(Exponentials(w));
  const V least = Set(kLeastProbability);
  const V scale = Set(row_scale);
  V loss = Zero();
  for (int64_t k = 0; k < w.padded(); k += kLanes) {
    const V repeats = Load(w.index.repeats() + k);
    const V p = Mul(Load(w.floats(w.at.main) + k), share);
    const V q = Mul(Load(w.floats(w.at.scores) + k), factor);
    loss = Fma(Mul(p, repeats), Log(Div(Max(least, p), Max(least, q))), loss);
    Store(w.index.score_grads() + k, Mul(Mul(Sub(q, p), repeats), scale));
  }
  return SumLanes(loss) * row_scale;
}

inline void WriteLoss(const Worker& w, float loss, void* shared) {
  const IndexWorker& of = w.index;
  static_cast<float*>(shared)[Shared(w.a).losses + of.s.row_begin + of.group.token] = loss;
  if (w.a.row_loss != nullptr)
    w.a.row_loss[OffsetOf(w.a.row_loss_at, of.s.batch, w.token())] = loss;
}

}  // namespace sparse_indexer_loss
}  // namespace

void SparseIndexerLossQueries(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace sparse_indexer_loss;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const prim::list_grad::Args& list = a.index.list;
  const Scratch at(a);
  const list_grad::Group& group = list.groups[item];
  const list_grad::Sequence& s = list.attend.sequences[group.sequence];
  IndexWorker index = {a.index, at.index, group, s, {}, static_cast<float*>(scratch)};
  const Worker w = {a, at, index};
  float* const slot = list_grad::SlotOf(list, item, prim::list_grad::Slot(list), shared);
  float scale = 1.0f;
  if (a.row_scale != nullptr && !s.padding)
    scale = a.row_scale[OffsetOf(a.row_scale_at, s.batch, w.token())];
  if (scale == 0.0f) {
    list_grad::FindNone(list, slot, &index.token);
  } else {
    list_grad::FindPositions(list, group, index.scratch + at.index.list, slot, &index.token);
  }
  float loss = 0.0f;
  if (index.token.count > 0) {
    FindProbabilities(w);
    FindProducts(index, w.floats(at.scores));
    loss = FindLoss(w, scale);
  }
  FindIndexGrads(index);
  WriteLoss(w, loss, shared);
}

}  // namespace tamis::TAMIS_LEVEL

// dense_lightning_indexer_softmax_lse, one level: a softmax over tiles of keys, of every token of a
// group on its lane.
#include "ops/dense_lightning_indexer/cpu/scores-inl.h"
#include "ops/dense_lightning_indexer/cpu/softmax_lse.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace dense_indexer {

inline void TakeTile(const tamis::dense_lightning_indexer_softmax_lse::KernelArgs& a,
                     const tamis::dense_lightning_indexer_softmax_lse::Scratch& at,
                     const Sequence& s, const Group& group, const Ends& ends, int64_t begin,
                     float* floats) {
  const Scores& of = a.scores;
  const int64_t count = Smaller(kTileKeys, ends.most - begin);
  float* const keys = floats + at.keys;
  float* const scores = floats + at.scores;
  SpreadKeys(of.element, of.key, s, begin, count, 0, of.dim, 0, prim::KeyStrideOf(of.dim), keys);
  Clear(scores, kTilePairs);
  for (int64_t g = 0; g < of.heads; ++g) {
    IndexProducts(of, s, group, g, keys, count, floats + at.queries, kGroupTokens,
                  floats + at.products);
    AddScores(floats + at.products, floats + at.weights + g * kGroupTokens, count, scores);
  }
  if (ends.Cut(begin + count)) Hide(ends, begin, count, -__builtin_inff(), kGroupTokens, scores);
  SoftmaxTile(kGroupTokens / kLanes, kGroupTokens, count, scores, floats + at.max, floats + at.sum,
              floats + at.alpha);
}

}  // namespace dense_indexer
}  // namespace

void DenseIndexerSoftmaxLse(const void* args, int64_t item, void* scratch, void* /*shared*/) {
  using namespace dense_indexer;
  const auto& a = *static_cast<const tamis::dense_lightning_indexer_softmax_lse::KernelArgs*>(args);
  const tamis::dense_lightning_indexer_softmax_lse::Scratch at(a);
  const Group& group = a.groups[item];
  const Sequence& s = a.sequences[group.sequence];
  auto* const floats = static_cast<float*>(scratch);
  const Ends ends = EndsOf(s, group, [](int64_t) { return false; });
  float* const max = floats + at.max;
  float* const sum = floats + at.sum;
  for (int64_t t = 0; t < kGroupTokens; ++t) {
    max[t] = -__builtin_inff();
    sum[t] = 0.0f;
  }
  LoadWeights(a.scores, s, group, floats + at.row, floats + at.weights);
  for (int64_t begin = 0; begin < ends.most; begin += kTileKeys)
    TakeTile(a, at, s, group, ends, begin, floats);
  for (int64_t t = 0; t < group.tokens; ++t) {
    const bool sees = ends.of[t] > 0;
    const int64_t token = s.token + group.token + t;
    // The largest of numbers beside a NaN would hide it.
    a.max[OffsetOf(a.max_at, s.batch, token)] = !sees              ? -__builtin_inff()
                                                : sum[t] == sum[t] ? max[t]
                                                                   : sum[t];
    a.sum[OffsetOf(a.sum_at, s.batch, token)] = sees ? sum[t] : 0.0f;
  }
}

}  // namespace tamis::TAMIS_LEVEL

// A group of query tokens: what it sees, its rows as panels, and its scores against a tile of keys.
#pragma once

#include "ops/dense_lightning_indexer/cpu/scores.h"
#include "prim/blocks/gradients-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace dense_indexer {

using prim::attention::Heads;
using prim::attention::Rows;
using prim::attention::Sequence;
using prim::attention_grad::Group;
using tamis::dense_lightning_indexer::kGroupTokens;
using tamis::dense_lightning_indexer::kTileKeys;
using tamis::dense_lightning_indexer::kTilePairs;
using tamis::dense_lightning_indexer::Scores;

TAMIS_INLINE int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }
TAMIS_INLINE int64_t Larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Of every token of a group, the end of the keys that it sees.
struct Ends {
  int64_t of[kGroupTokens];
  int64_t least = INT64_MAX;
  int64_t most = 0;

  // Whether a token sees a part of the keys [begin, end) alone.
  bool Cut(int64_t end) const { return least < end; }
};

// `hidden(token)`: whether a token of the group sees nothing.
template <class Hidden>
TAMIS_INLINE Ends EndsOf(const Sequence& s, const Group& group, const Hidden& hidden) {
  Ends ends;
  for (int64_t t = 0; t < kGroupTokens; ++t) {
    ends.of[t] = 0;
    if (t >= group.tokens) continue;
    const int64_t visible = s.of[0].visible + (group.token + t) * s.of[0].visible_step;
    if (!s.padding && !hidden(t)) ends.of[t] = Larger(Smaller(visible, s.of[0].keys), 0);
    ends.least = Smaller(ends.least, ends.of[t]);
    ends.most = Larger(ends.most, ends.of[t]);
  }
  return ends;
}

// Calls body(key of the tile, token) for the pairs of a tile that begins at `begin`, and of which
// the token does not see the key.
template <class Body>
TAMIS_INLINE void ForHidden(const Ends& ends, int64_t begin, int64_t count, const Body& body) {
  for (int64_t t = 0; t < kGroupTokens; ++t) {
    for (int64_t k = Larger(ends.of[t] - begin, 0); k < count; ++k) body(k, t);
  }
}
inline void Hide(const Ends& ends, int64_t begin, int64_t count, float value, int64_t stride,
                 float* pairs) {
  ForHidden(ends, begin, count, [&](int64_t k, int64_t t) { pairs[k * stride + t] = value; });
}

TAMIS_INLINE const uint8_t* HeadRow(const Heads& heads, const Sequence& s, const Group& group,
                                    int64_t token, int64_t head) {
  return heads.data + OffsetOf(heads.at, s.batch, s.token + group.token + token) +
         head * heads.head_stride;
}
TAMIS_INLINE const uint8_t* KeyRow(const Rows& rows, const Sequence& s, int64_t position,
                                   int64_t head) {
  return rows.data + s.batch * rows.page_stride + (s.of[0].key_begin + position) * rows.row_stride +
         head * rows.head_stride;
}

// A head's rows as panels [vector of tokens][column][lane], `columns` of them in all, from column
// `at` on.
inline void PackHead(prim::Element element, const Heads& heads, const Sequence& s,
                     const Group& group, int64_t head, int64_t dim, int64_t at, int64_t columns,
                     float* panels) {
  for (int64_t v = 0; v < kGroupTokens; v += kLanes) {
    const void* from[kLanes];
    for (int i = 0; i < kLanes; ++i)
      from[i] = v + i < group.tokens ? HeadRow(heads, s, group, v + i, head) : nullptr;
    PackRows(element, from, dim, panels + v * columns + at * kLanes);
  }
}

// `count` keys as columns, from column `at` on; those past the last, up to whole tiles of products,
// are 0.
inline void SpreadKeys(prim::Element element, const Rows& rows, const Sequence& s, int64_t begin,
                       int64_t count, int64_t head, int64_t dim, int64_t at, int64_t stride,
                       float* keys) {
  for (int64_t k = 0; k < count; ++k)
    Spread(element, KeyRow(rows, s, begin + k, head), dim, keys + k * stride + at);
  for (int64_t k = count; k < prim::RoundedUp(count, 2 * kTileHeight); ++k) {
    for (int64_t c = 0; c < ColumnsOf(dim); ++c) keys[k * stride + at + c] = 0.0f;
  }
}

// The group's weights as [head][token], 0 past the last. `row` has room for a token's.
inline void LoadWeights(const Scores& scores, const Sequence& s, const Group& group, float* row,
                        float* weights) {
  Clear(weights, scores.heads * kGroupTokens);
  for (int64_t t = 0; t < group.tokens; ++t) {
    WidenAny(scores.weights_element, HeadRow(scores.weights, s, group, t, 0), scores.heads, row);
    for (int64_t g = 0; g < scores.heads; ++g) weights[g * kGroupTokens + t] = row[g];
  }
}

// Products of a tile's keys and the rows of an index head.
inline void IndexProducts(const Scores& scores, const Sequence& s, const Group& group, int64_t head,
                          const float* keys, int64_t count, float* panels, int64_t stride,
                          float* products) {
  const int64_t columns = ColumnsOf(scores.dim);
  PackHead(scores.element, scores.query, s, group, head, scores.dim, 0, columns, panels);
  ProductsOfKeys(keys, prim::KeyStrideOf(scores.dim), panels, columns, count, kGroupTokens / kLanes,
                 products, stride, AsIs());
}

// scores[key][token] += weight relu(product). A NaN stays one.
inline void AddScores(const float* products, const float* weights, int64_t count, float* scores) {
  for (int64_t v = 0; v < kGroupTokens; v += kLanes) {
    const V weight = Load(weights + v);
    for (int64_t k = 0; k < count; ++k) {
      const int64_t at = k * kGroupTokens + v;
      Store(scores + at, Fma(Max(Zero(), Load(products + at)), weight, Load(scores + at)));
    }
  }
}

}  // namespace dense_indexer
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

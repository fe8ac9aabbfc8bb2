// The scores of a tile of keys: the arithmetic that both ways of selecting share, bit for bit.
//
// All heads of a token lie on the lanes. A tile of 16 keys is widened once (or, as pairs of
// bfloat16, copied) and scored against every token of the item: a register tile of keys x heads,
// then relu, weights and the sum over the heads' vectors in registers; what is left of a key is one
// vector, and a transposition turns as many of those as there are lanes into one vector of scores.
// 16 keys of 128 dims are 8 KiB, which stay in L1 beside 64 heads' queries (32 KiB) and the keys
// that are on their way.
#pragma once

#include "ops/lightning_indexer/cpu/kernel.h"
#include "prim/blocks/attention_tile-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace indexer {

using tamis::lightning_indexer::Chunk;
using tamis::lightning_indexer::IndexerScratch;
using tamis::lightning_indexer::KernelArgs;
using tamis::lightning_indexer::kIndexerKeyTile;
using tamis::lightning_indexer::LayOut;
using tamis::lightning_indexer::ListOf;

struct Item {
  const KernelArgs& a;
  const Chunk& chunk;
  int64_t vectors;  // of heads; at least one
  int64_t rows;
  int64_t columns;  // of a key
  int64_t key_stride;
  int64_t key_offset;  // of key 0 of the sequence, where keys are not paged
  float* query;
  float* weights;
  float* key;
  float* partial;
  float* scores;
};

inline const uint8_t* KeyRow(const Item& it, int64_t position) {
  if (it.a.page_table == nullptr) return it.a.key + it.key_offset + position * it.a.key_stride;
  const int64_t page = it.a.page_table[it.chunk.table_offset + position / it.a.page_size];
  return it.a.key + page * it.a.page_stride + position % it.a.page_size * it.a.key_stride;
}

TAMIS_INLINE const uint8_t* QueryRow(const Item& it, int64_t token, int64_t head) {
  return it.a.query + OffsetOf(it.a.query_at, it.chunk.batch, it.chunk.token + token) +
         head * it.a.query_head_stride;
}

// Heads past the last get zero queries and zero weights.
inline void PackQueries(const Item& it) {
  for (int64_t t = 0; t < it.chunk.tokens; ++t) {
    float* panel = it.query + t * it.rows * it.columns;
    float* weights = it.weights + t * it.rows;
    for (int64_t h = 0; h < it.rows; h += kLanes) {
      const void* from[kLanes];
      for (int i = 0; i < kLanes; ++i)
        from[i] = h + i < it.a.heads ? QueryRow(it, t, h + i) : nullptr;
      PackRows(it.a.element, from, it.a.dim, panel + h * it.columns);
    }
    for (int64_t h = it.a.heads; h < it.rows; ++h) weights[h] = 0.0f;
    const int64_t at = OffsetOf(it.a.weights_at, it.chunk.batch, it.chunk.token + t);
    if (it.a.weights_float32) {
      for (int64_t h = 0; h < it.a.heads; ++h)
        weights[h] = static_cast<const float*>(it.a.weights)[at + h];
    } else {
      Widen(it.a.element, static_cast<const uint16_t*>(it.a.weights) + at, it.a.heads, weights);
    }
  }
}

// Inlined by force: gcc 12 takes a function that only prefetches for one without effect and drops
// its calls.
TAMIS_INLINE void Prefetch(const Item& it, int64_t position) {
  if (position >= it.chunk.key_end) return;
  const char* row = reinterpret_cast<const char*>(KeyRow(it, position));
  const int64_t bytes = it.a.dim * BytesOf(it.a.element);
  for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(row + byte, 0, 3);
}

inline void LoadKeys(const Item& it, int64_t first, int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    Spread(it.a.element, KeyRow(it, first + k), it.a.dim, it.key + k * it.key_stride);
  }
  for (int64_t k = count; k < kIndexerKeyTile; ++k) {
    for (int64_t c = 0; c < it.columns; ++c) it.key[k * it.key_stride + c] = 0.0f;
  }
}

// partial[key] += sum over kVectors vectors of heads of weight * relu(query . key), for the kKeys
// keys of the tile from k on. The first vectors of heads begin the sum; meanwhile they ask for as
// many keys from `ahead` on.
template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void ScoreTile(const Item& it, int64_t token, int64_t v, int64_t k, int64_t ahead) {
  const int64_t columns = it.columns;
  const float* weights = it.weights + token * it.rows + v * kLanes;
  int64_t next = v == 0 ? 0 : kKeys;
  const auto prefetch = [&](int64_t c) __attribute__((always_inline)) {
    for (; next < kKeys && next * columns <= c * kKeys; ++next) Prefetch(it, ahead + k + next);
  };
  V sum[kKeys][kVectors];
  ProductTile<kStride>(it.key + k * it.key_stride, it.key_stride,
                       it.query + (token * it.rows + v * kLanes) * columns, columns, sum, prefetch);
  for (int i = 0; i < kKeys; ++i) {
    float* partial = it.partial + (k + i) * kLanes;
    V total = v == 0 ? Zero() : Load(partial);
    for (int j = 0; j < kVectors; ++j) {
      total = Fma(Max(Zero(), sum[i][j]), Load(weights + j * kLanes), total);  // relu keeps NaN
    }
    Store(partial, total);
  }
}

template <int64_t kStride, int kKeys, int kVectors>
inline void ScoreTiles(const Item& it, int64_t token, int64_t v, int64_t ahead) {
  for (int64_t k = 0; k < kIndexerKeyTile; k += kKeys)
    ScoreTile<kStride, kKeys, kVectors>(it, token, v, k, ahead);
}

// 64 heads are 4 vectors of 16 lanes: one pass with all of them, in the 32 registers of that level.
template <int64_t kStride>
inline void ScoreHeads(const Item& it, int64_t token, int64_t ahead) {
  int64_t v = 0;
  if (kLanes == 16) {
    for (; v + 4 <= it.vectors; v += 4)
      ScoreTiles<kStride, kTileHeight / 2, 4>(it, token, v, ahead);
  }
  for (; v + 2 <= it.vectors; v += 2) ScoreTiles<kStride, kTileHeight, 2>(it, token, v, ahead);
  if (v < it.vectors) ScoreTiles<kStride, 2 * kTileHeight, 1>(it, token, v, ahead);
}

// The end of the chunk's keys that a token of it sees.
TAMIS_INLINE int64_t VisibleTo(const Item& it, int64_t token) {
  int64_t visible = it.chunk.visible + token * it.chunk.visible_step;
  if (it.a.key_tokens > 1) visible = visible < 0 ? 0 : visible / it.a.key_tokens;
  if (it.a.limits != nullptr) {
    const int64_t limit =
        it.a.limits[OffsetOf(it.a.limits_at, it.chunk.batch, it.chunk.token + token)];
    visible = limit < visible ? limit : visible;
  }
  return visible < it.chunk.key_end ? visible : it.chunk.key_end;
}

// Scores of the tile. `ahead`: the tile that is asked for meanwhile.
inline void Scores(const Item& it, int64_t token, int64_t ahead) {
  if (it.key_stride == prim::kNarrowKeyStride) {
    ScoreHeads<prim::kNarrowKeyStride>(it, token, ahead);
  } else {
    ScoreHeads<0>(it, token, ahead);
  }
  for (int64_t k = 0; k < kIndexerKeyTile; k += kLanes) {
    V block[kLanes];
    for (int i = 0; i < kLanes; ++i) block[i] = Load(it.partial + (k + i) * kLanes);
    Store(it.scores + k, SumRows(block));
  }
}

inline Item MakeItem(const KernelArgs& a, const Chunk& chunk, float* scratch) {
  const IndexerScratch at = LayOut(a);
  return {
      .a = a,
      .chunk = chunk,
      .vectors = a.heads > 0 ? (a.heads + kLanes - 1) / kLanes : 1,
      .rows = at.rows,
      .columns = ColumnsOf(a.dim),
      .key_stride = at.key_stride,
      .key_offset = chunk.batch * a.page_stride + chunk.first_key * a.key_stride,
      .query = scratch + at.query,
      .weights = scratch + at.weights,
      .key = scratch + at.key,
      .partial = scratch + at.partial,
      .scores = scratch + at.scores,
  };
}

// Where the selector of a token of the item keeps its ranks.
inline prim::Selector SelectorOf(const KernelArgs& a, int64_t token, float* scratch) {
  auto* const ranks = reinterpret_cast<uint64_t*>(scratch + LayOut(a).ranks);
  return prim::MakeSelector(ranks + token * prim::SelectorCapacity(a.keep), a.keep);
}

// Leaves what a selector kept in the token's list.
inline void StoreList(const KernelArgs& a, prim::Selector* selector, int64_t index, void* shared) {
  uint64_t* const list = ListOf(a, shared, index);
  const int64_t count = prim::Shrink(selector);
  list[0] = static_cast<uint64_t>(count);
  for (int64_t i = 0; i < count; ++i) list[1 + i] = selector->ranks[i];
}

}  // namespace indexer
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

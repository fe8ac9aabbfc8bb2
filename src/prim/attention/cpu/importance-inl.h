// The importance of select blocks, from the scores of all keys, and the selection of the best.
#pragma once

#include "prim/attention/cpu/state-inl.h"
#include "prim/blocks/top_k-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// group_sums[token][first + key] = sum over the token's rows of factor * e, kLanes keys at a time.
// Of whole vectors of rows: their sum, then the sum of its lanes.
inline void SumWholeGroups(const Item& it, const float* e, const float* factor, int64_t first,
                           int64_t count) {
  const int64_t vectors = it.heads / kLanes;
  for (int64_t t = 0; t < it.tokens; ++t) {
    const int64_t row = t * it.heads;
    float* to = it.group_sums + t * it.at.keys + first;
    for (int64_t k = 0; k < count; k += kLanes) {
      V block[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const float* key = e + (k + i) * it.at.score_stride + row;
        block[i] = Mul(Load(key), Load(factor + row));
        for (int64_t v = 1; v < vectors; ++v) {
          block[i] = Fma(Load(key + v * kLanes), Load(factor + row + v * kLanes), block[i]);
        }
      }
      Store(to + k, SumRows(block));
    }
  }
}

// The same for groups of any size: blocks of lanes x lanes are transposed, so that keys lie on the
// lanes and a group is a run of vector additions.
inline void SumGroups(const Item& it, const float* e, const float* factor, int64_t first,
                      int64_t count) {
  if (it.heads % kLanes == 0) return SumWholeGroups(it, e, factor, first, count);
  for (int64_t k = 0; k < count; k += kLanes) {
    V sum = Zero();
    int64_t member = 0;
    float* to = it.group_sums + first + k;
    for (int64_t v = 0; v < it.vectors; ++v) {
      V block[kLanes];
      const V f = Load(factor + v * kLanes);
      for (int i = 0; i < kLanes; ++i)
        block[i] = Mul(Load(e + (k + i) * it.at.score_stride + v * kLanes), f);
      Transpose(block);
      for (int r = 0; r < kLanes && v * kLanes + r < it.rows; ++r) {
        sum = member == 0 ? block[r] : Add(sum, block[r]);
        if (++member == it.heads) {
          Store(to, sum);
          to += it.at.keys;
          member = 0;
        }
      }
    }
  }
}

// The e of a tile once more, by the same maxima: the same bits.
inline void ExponentialsOfTile(const Item& it, const Tile& tile, const float* max, float* scores) {
  LoadTile(it, tile, false);
  Scores<false>(it, tile.count, scores, nullptr);
  if (!tile.whole) HideKeys(it, tile, scores);
  for (int64_t k = 0; k < tile.count; ++k) {
    for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
      float* score = scores + k * it.at.score_stride + v;
      Store(score, ExpNonPositive(Sub(Load(score), Load(max + v))));
    }
  }
}

// Of a tile, or of its first keys: no row sees the others.
inline void SumGroupsOfTile(const Item& it, const Tile& tile) {
  float* scores = ScoresOf(it, tile);
  float* factor = it.tile_max + tile.begin / it.a.key_tile * it.at.rows;
  if (!it.a.keep_scores) ExponentialsOfTile(it, tile, factor, scores);
  const State state = it.Total();
  for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
    const V shrink = ExpNonPositive(Sub(Load(factor + v), Load(state.max + v)));
    Store(factor + v, Mul(shrink, Load(it.alpha + v)));
  }
  SumGroups(it, scores, factor, tile.begin, tile.count);
}

// The band of a block as floats, where it is as short as bands are (5 at the documents' sizes).
constexpr int64_t kShortBand = 64;

struct Band {
  int64_t length;
  float coefficients[kShortBand];
  const float* data;  // null: too long

  explicit Band(const prim::BlockGeometry& g) : length(g.LastToken(0) - g.FirstToken(0) + 1) {
    data = length <= kShortBand ? coefficients : nullptr;
    for (int64_t i = 0; i < length && data != nullptr; ++i)
      coefficients[i] = static_cast<float>(g.Coefficient(i));
  }
};

// sum over x of band[last - x] * probabilities[x], from the last of `keys` tokens back.
inline float BlockScore(const Item& it, const Band& band, const float* probabilities, int64_t keys,
                        int64_t j) {
  const prim::BlockGeometry& g = it.a.selection.geometry;
  const int64_t last = g.LastToken(j);
  const int64_t first = g.FirstToken(j) > 0 ? g.FirstToken(j) : 0;
  float sum = 0.0f;
  for (int64_t x = last < keys ? last : keys - 1; x >= first; --x) {
    const float coefficient =
        band.data != nullptr ? band.data[last - x] : static_cast<float>(g.Coefficient(last - x));
    sum += coefficient * probabilities[x];
  }
  return sum;
}

// probabilities[x] becomes the score of a block whose last token is x: the same operations in the
// same order. From the end back, so that those before are still what they were.
inline void SumBands(const Band& band, int64_t keys, float* probabilities) {
  const int64_t begin = band.length - 1;  // bands that begin earlier are cut short
  for (int64_t end = keys; end > begin; end -= kLanes) {
    const int64_t x = end - kLanes > begin ? end - kLanes : begin;
    V sum = Zero();
    for (int64_t i = 0; i < band.length; ++i)
      sum =
          Add(sum, Mul(Set(band.data[i]), LoadN(probabilities + x - i, static_cast<int>(end - x))));
    StoreN(probabilities + x, sum, static_cast<int>(end - x));
  }
}

// The scores of the first blocks, by the first keys. `probabilities` is lost.
inline void ScoreBlocks(const Item& it, const Band& band, float* probabilities, int64_t keys,
                        int64_t blocks) {
  const prim::BlockGeometry& g = it.a.selection.geometry;
  int64_t whole = 0;  // blocks [whole, cut) hear tokens inside [0, keys) only
  while (whole < blocks && g.FirstToken(whole) < 0) ++whole;
  int64_t cut = band.data != nullptr ? blocks : whole;
  while (cut > whole && g.LastToken(cut - 1) >= keys) --cut;
  for (int64_t j = 0; j < whole; ++j)
    it.block_scores[j] = BlockScore(it, band, probabilities, keys, j);
  for (int64_t j = cut; j < blocks; ++j)
    it.block_scores[j] = BlockScore(it, band, probabilities, keys, j);
  if (cut == whole) return;
  SumBands(band, keys, probabilities);
  for (int64_t j = whole; j < cut; ++j) it.block_scores[j] = probabilities[g.LastToken(j)];
}

// The keys that every tile of the walk does not reach have probability 0.
inline void SumAllGroups(const Item& it) {
  const int64_t keys = prim::RoundedUp(it.s.of[0].keys, it.a.key_tile);
  int64_t done = 0;
  const auto clear = [&](int64_t end) {
    for (int64_t t = 0; t < it.tokens && done < end; ++t) {
      __builtin_memset(it.group_sums + t * it.at.keys + done, 0,
                       static_cast<size_t>(end - done) * sizeof(float));
    }
    done = end;
  };
  Cursor cursor = StartOf(it, 0);
  Tile tile;
  for (NextTile(it, &cursor, &tile); tile.count > 0; NextTile(it, &cursor, &tile)) {
    clear(tile.begin);
    SumGroupsOfTile(it, tile);
    done = tile.begin + tile.count;
  }
  clear(keys);
}

// exp(x), of any x.
TAMIS_INLINE float ExpOf(float x) {
  float e[kLanes];
  Store(e, ExpNonPositive(Set(x > 0.0f ? -x : x)));
  return x > 0.0f ? 1.0f / e[0] : e[0];
}

// Of a maximum that is far below the scores that it is said to be of. Infinity would make NaN of
// the shares that are 0.
constexpr float kMostShare = 0x1.fffffep127f;

// alpha becomes what exp(score - max) is multiplied by to be a share of the softmax.
inline void FindShares(const Item& it) {
  const prim::attention::Selection& selection = it.a.selection;
  const State state = it.Total();
  for (int64_t row = 0; row < it.vectors * kLanes; ++row) {
    it.alpha[row] = 0.0f;
    if (row >= it.rows || it.nothing[row / it.heads] != 0) continue;
    it.alpha[row] = 1.0f / state.sum[row];
    if (selection.max == nullptr) continue;
    const int64_t t = row / it.heads;
    const int64_t head = HeadOf(it, row);
    const float max = selection.max[it.OffsetOf(selection.max_at, t) + head];
    const float sum = selection.sum[it.OffsetOf(selection.sum_at, t) + head];
    const float share = ExpOf(state.max[row] - max) / sum;
    it.alpha[row] = state.sum[row] != state.sum[row]   ? state.sum[row]
                    : sum > 0.0f && share > kMostShare ? kMostShare
                                                       : share;
  }
}

// The candidates of token t.
inline int64_t CandidatesOf(const Item& it, int64_t t) {
  const int64_t block_tokens = it.a.selection.block_tokens;
  if (block_tokens == 0) return it.s.blocks;
  const int64_t visible = VisibleTokens(it.s.of[0], it.token + t);
  const int64_t blocks = visible > 0 ? (visible - 1) / block_tokens + 1 : 0;
  return blocks < it.s.blocks ? blocks : it.s.blocks;
}

// How many keys count towards blocks: where candidates follow what the token sees, those that it
// sees, so that a NaN of its own reaches no block that only later keys touch.
inline int64_t KeysThatCount(const Item& it, int64_t t) {
  if (it.nothing[t] != 0) return 0;
  if (it.a.selection.block_tokens == 0) return it.s.of[0].keys;
  return SeesNone(it, 0, t) ? 0 : SeenOf(it, 0)[t].end;
}

inline void WriteScores(const Item& it, int64_t t, int64_t blocks) {
  const prim::attention::Selection& selection = it.a.selection;
  float* to = selection.scores + it.OffsetOf(selection.scores_at, t) +
              it.kv_head * selection.scores_head_stride;
  __builtin_memcpy(to, it.block_scores, static_cast<size_t>(blocks) * sizeof(float));
  for (int64_t j = blocks; j < it.a.max_blocks; ++j) to[j] = 0.0f;
}

inline void SelectBlocks(const Item& it) {
  const prim::attention::Selection& selection = it.a.selection;
  FindShares(it);
  SumAllGroups(it);
  const Band band(selection.geometry);
  for (int64_t t = 0; t < it.tokens; ++t) {
    const int64_t blocks = CandidatesOf(it, t);
    ScoreBlocks(it, band, it.group_sums + t * it.at.keys, KeysThatCount(it, t), blocks);
    if (selection.scores != nullptr) WriteScores(it, t, blocks);
    if (selection.indices == nullptr) continue;
    const uint8_t* forced = selection.forced != nullptr
                                ? selection.forced + (it.token + t) * selection.forced_stride
                                : nullptr;
    for (int64_t j = 0; j < blocks && forced != nullptr; ++j) {
      if (forced[j] != 0) it.block_scores[j] = -kLowest;
    }
    if (selection.force_ends && blocks > 0) {
      it.block_scores[0] = it.block_scores[blocks - 1] = -kLowest;
      if (blocks > 1) it.block_scores[blocks - 2] = -kLowest;
    }
    int32_t* indices =
        selection.indices + it.OffsetOf(selection.at, t) + it.kv_head * selection.head_stride;
    SelectTopK(it.block_scores, blocks, selection.count, it.heap, indices);
  }
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

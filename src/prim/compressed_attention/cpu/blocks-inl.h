// The importance of select blocks, from the scores of all tiles, and the selection of the best.
#pragma once

#include "prim/blocks/top_k-inl.h"
#include "prim/compressed_attention/cpu/tile-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// group_sums[token][first + key] = sum over the token's rows of factor * e, kLanes keys at a time.
// Of whole vectors of rows: their sum, then the sum of its lanes.
inline void SumWholeGroups(const Item& it, const float* e, const float* factor, int64_t first,
                           int64_t count) {
  const int64_t vectors = it.a.group / kLanes;
  for (int64_t t = 0; t < it.tokens; ++t) {
    const int64_t row = t * it.a.group;
    float* to = it.group_sums + t * it.group_sums_stride + first;
    for (int64_t k = 0; k < count; k += kLanes) {
      V block[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const float* key = e + (k + i) * it.rows + row;
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
  if (it.a.group % kLanes == 0) return SumWholeGroups(it, e, factor, first, count);
  for (int64_t k = 0; k < count; k += kLanes) {
    V sum = Zero();
    int64_t member = 0;
    float* to = it.group_sums + first + k;
    for (int64_t v = 0; v < it.vectors; ++v) {
      V block[kLanes];
      const V f = Load(factor + v * kLanes);
      for (int i = 0; i < kLanes; ++i) block[i] = Mul(Load(e + (k + i) * it.rows + v * kLanes), f);
      Transpose(block);
      for (int r = 0; r < kLanes && v * kLanes + r < it.tokens * it.a.group; ++r) {
        sum = member == 0 ? block[r] : Add(sum, block[r]);
        if (++member == it.a.group) {
          Store(to, sum);
          to += it.group_sums_stride;
          member = 0;
        }
      }
    }
  }
}

inline void SumGroupsOfTile(const Item& it, int64_t first, int64_t count) {
  const int64_t tile = first / kKeyTile;
  float* scores = it.TileScores(tile);
  if (it.keep) {
    float* factor = it.tile_max + tile * it.rows;
    for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
      const V shrink = ExpNonPositive(Sub(Load(factor + v), Load(it.max + v)));
      Store(factor + v, Mul(shrink, Load(it.alpha + v)));
    }
    return SumGroups(it, scores, factor, first, count);
  }
  FindRows(it, first);
  LoadKeys(it, count);
  RowCopy nothing;
  MaskedScores(it, first, count, scores, &nothing);
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t v = 0; v < it.vectors * kLanes; v += kLanes) {
      float* score = scores + k * it.rows + v;
      Store(score, ExpNonPositive(Sub(Load(score), Load(it.max + v))));
    }
  }
  SumGroups(it, scores, it.alpha, first, count);
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

// sum over x of band[last - x] * probabilities[x], from the last token back.
inline float BlockScore(const Item& it, const Band& band, const float* probabilities, int64_t j) {
  const prim::BlockGeometry& g = it.a.geometry;
  const int64_t last = g.LastToken(j);
  const int64_t first = g.FirstToken(j) > 0 ? g.FirstToken(j) : 0;
  float sum = 0.0f;
  for (int64_t x = last < it.s.keys ? last : it.s.keys - 1; x >= first; --x) {
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

// The scores of all blocks. `probabilities` is lost.
inline void ScoreBlocks(const Item& it, const Band& band, float* probabilities) {
  const prim::BlockGeometry& g = it.a.geometry;
  const int64_t blocks = it.s.blocks;
  int64_t whole = 0;  // blocks [whole, cut) hear tokens inside [0, keys) only
  while (whole < blocks && g.FirstToken(whole) < 0) ++whole;
  int64_t cut = band.data != nullptr ? blocks : whole;
  while (cut > whole && g.LastToken(cut - 1) >= it.s.keys) --cut;
  for (int64_t j = 0; j < whole; ++j) it.block_scores[j] = BlockScore(it, band, probabilities, j);
  for (int64_t j = cut; j < blocks; ++j)
    it.block_scores[j] = BlockScore(it, band, probabilities, j);
  if (cut == whole) return;
  SumBands(band, it.s.keys, probabilities);
  for (int64_t j = whole; j < cut; ++j) it.block_scores[j] = probabilities[g.LastToken(j)];
}

inline void SelectBlocks(const Item& it) {
  for (int64_t first = 0; first < it.s.keys; first += kKeyTile) {
    const int64_t count = it.needed[first / kKeyTile];
    if (count > 0) SumGroupsOfTile(it, first, count);
    for (int64_t t = 0; t < it.tokens; ++t) {
      float* sums = it.group_sums + t * it.group_sums_stride + first;
      for (int64_t k = count; k < kKeyTile; ++k) sums[k] = 0.0f;
    }
  }
  const int64_t blocks = it.s.blocks;
  const Band band(it.a.geometry);
  for (int64_t t = 0; t < it.tokens; ++t) {
    const bool zero = it.hidden[t] != 0 && it.a.zero_masked_rows;
    const uint8_t* forced = it.a.topk_mask != nullptr
                                ? it.a.topk_mask + (it.token + t) * it.a.topk_mask_stride
                                : nullptr;
    if (zero) {
      for (int64_t j = 0; j < blocks; ++j) it.block_scores[j] = 0.0f;
    } else {
      ScoreBlocks(it, band, it.group_sums + t * it.group_sums_stride);
    }
    for (int64_t j = 0; j < blocks && forced != nullptr; ++j) {
      if (forced[j] != 0) it.block_scores[j] = -kLowest;
    }
    if (it.a.force_ends && blocks > 0) {
      it.block_scores[0] = it.block_scores[blocks - 1] = -kLowest;
      if (blocks > 1) it.block_scores[blocks - 2] = -kLowest;
    }
    int32_t* indices = it.a.topk + it.OffsetOf(it.a.topk_at, t) + it.head * it.a.topk_head_stride;
    SelectTopK(it.block_scores, blocks, it.a.top_k, it.heap, indices);
  }
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

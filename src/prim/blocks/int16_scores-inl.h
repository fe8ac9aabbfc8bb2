// Products of queries and keys in 16-bit integers, where neither has more than 16 bits.
//
//   x_c = X_c / s      s of a row, a power of two: |X_c| < 2^15, and the X of any 192 dims have a
//                      norm below 46341, so that products of two such rows stay below 2^31
//                      (Cauchy-Schwarz); every 192 dims are summed in integers, then in fp32
//
// A 32-bit lane holds a pair of dims: c and c + lanes of every 2 lanes dims. Queries lie in panels
// [vector of rows][pair][lane], keys row by row.
#pragma once

#include "prim/blocks/int16_values-inl.h"
#include "prim/blocks/product_tile-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

constexpr int64_t kChunkDimPairs = 96;  // 192 dims
// 46340.9^2 < 2^31 less the roundings of 192 elements (half of each: a norm of 6.93) and those of
// the sum of squares.
constexpr float kMostNorm = 46330.0f;
// The most that integers may add to a score, as a standard deviation: that of probabilities rounded
// to bfloat16.
constexpr float kMostScoreError = 1e-3f;

TAMIS_INLINE int64_t DimPairsOf(int64_t dims) {
  return (dims + 2 * kLanes - 1) / (2 * kLanes) * kLanes;
}

// A row of two parts, such as latent and rope; `second` may have no dims.
struct HalfRow {
  const uint16_t* first;
  int64_t first_dims;
  const uint16_t* second;
  int64_t second_dims;
};

// A row as integers.
struct RowQuantum {
  bool fits;
  float scale;    // s
  float step;     // 1 / s, 0 of a row of zeros
  float square;   // |x|^2
  uint32_t most;  // bits of the largest magnitude in the first part
};

// 2 lanes dims of a row.
struct TwoVectors {
  V low;
  V high;
};
template <class Element>
TAMIS_INLINE TwoVectors LoadTwo(const uint16_t* row) {
  return {Element::LoadElements(row), Element::LoadElements(row + kLanes)};
}
// The first `count` of them, at least 1 and not all.
template <class Element>
TAMIS_INLINE TwoVectors LoadTwoN(const uint16_t* row, int64_t count) {
  const int low = static_cast<int>(count < kLanes ? count : kLanes);
  return {Element::LoadElementsN(row, low),
          Element::LoadElementsN(row + low, static_cast<int>(count) - low)};
}

// body(TwoVectors, pair) of every 2 lanes dims, the first of them at `pair`.
template <class Element, class Body>
TAMIS_INLINE void ForDimPairs(const uint16_t* row, int64_t dims, int64_t pair, const Body& body) {
  int64_t c = 0;
  for (; c + 2 * kLanes <= dims; c += 2 * kLanes, pair += kLanes)
    body(LoadTwo<Element>(row + c), pair);
  if (c < dims) body(LoadTwoN<Element>(row + c, dims - c), pair);
}

// The exponent of a positive normal number: 2^e <= x < 2^(e + 1).
TAMIS_INLINE int32_t ExponentOf(float x) {
  return static_cast<int32_t>(__builtin_bit_cast(uint32_t, x) >> 23) - 127;
}
TAMIS_INLINE float PowerOfTwo(int32_t e) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(e + 127) << 23);
}

// Squares of a row's elements, by chunks.
struct RowSums {
  V chunk = Zero();  // squares of the chunk under way
  int64_t end = kChunkDimPairs;
  float square = 0.0f;
  float most_chunk = 0.0f;

  TAMIS_INLINE void Close() {
    const float sum = SumLanes(chunk);
    square += sum;
    most_chunk = sum > most_chunk ? sum : most_chunk;
    chunk = Zero();
  }
  // Adds a part that begins at `pair`; returns the bits of its largest magnitude.
  template <class Element>
  TAMIS_INLINE uint32_t Add(const uint16_t* row, int64_t dims, int64_t pair) {
    I most = ZeroInts();
    ForDimPairs<Element>(
        row, dims, pair, [&](TwoVectors x, int64_t at) __attribute__((always_inline)) {
          if (at == end) {
            Close();
            end += kChunkDimPairs;
          }
          chunk = Fma(x.low, x.low, Fma(x.high, x.high, chunk));
          most = MaxInts(most, MaxInts(MagnitudesOf(x.low), MagnitudesOf(x.high)));
        });
    return static_cast<uint32_t>(MaxLane(most));
  }
};

template <class Element>
TAMIS_INLINE RowQuantum QuantumOf(const HalfRow& row) {
  RowSums sums;
  const uint32_t first = sums.Add<Element>(row.first, row.first_dims, 0);
  const uint32_t second =
      sums.Add<Element>(row.second, row.second_dims, DimPairsOf(row.first_dims));
  sums.Close();
  const uint32_t most = first > second ? first : second;
  if (most == 0) return {.fits = true, .scale = 0.0f, .step = 0.0f, .square = 0.0f, .most = first};
  const int32_t exponent = static_cast<int32_t>(most >> 23) - 127;
  if (exponent < -30 || exponent >= 30)
    return {.fits = false, .scale = 0.0f, .step = 0.0f, .square = 0.0f, .most = first};
  const int32_t by_most = kValueBits - 1 - exponent;
  const int32_t room = ExponentOf(kMostNorm * kMostNorm / sums.most_chunk);
  const int32_t by_norm = room >> 1;  // rounds down
  const int32_t e = by_most < by_norm ? by_most : by_norm;
  return {.fits = true,
          .scale = PowerOfTwo(e),
          .step = PowerOfTwo(-e),
          .square = sums.square,
          .most = first};
}

template <class Element>
TAMIS_INLINE void PairUpPart(const uint16_t* row, int64_t dims, float scale, int32_t* to) {
  const V s = Set(scale);
  ForDimPairs<Element>(
      row, dims, 0, [&](TwoVectors x, int64_t pair) __attribute__((always_inline)) {
        StoreInts(to + pair, PairInt16(x.low, s, x.high, s));
      });
}
template <class Element>
TAMIS_INLINE void PairUpRow(const HalfRow& row, float scale, int32_t* to) {
  PairUpPart<Element>(row.first, row.first_dims, scale, to);
  PairUpPart<Element>(row.second, row.second_dims, scale, to + DimPairsOf(row.first_dims));
}

// Two rows that are keys and values at once: widened once, they become pairs of dims with the keys'
// scales, and pairs of rows with the values'.
template <class Element>
TAMIS_INLINE void PairUpKeysAndValues(const uint16_t* const (&rows)[2], int64_t dims,
                                      const float (&key_scale)[2], const RowScale (&value_scale)[2],
                                      int32_t* const (&keys)[2], int32_t* values) {
  const V k0 = Set(key_scale[0]);
  const V k1 = Set(key_scale[1]);
  const V v0 = Set(value_scale[0].scale);
  const V v1 = Set(value_scale[1].scale);
  const auto both = [&](TwoVectors x, TwoVectors y, int64_t pair) __attribute__((always_inline)) {
    StoreInts(keys[0] + pair, PairInt16(x.low, k0, x.high, k0));
    StoreInts(keys[1] + pair, PairInt16(y.low, k1, y.high, k1));
    StoreInts(values + 2 * pair, PairInt16(x.low, v0, y.low, v1));
    if (2 * pair + kLanes < dims)
      StoreInts(values + 2 * pair + kLanes, PairInt16(x.high, v0, y.high, v1));
  };
  int64_t c = 0;
  for (; c + 2 * kLanes <= dims; c += 2 * kLanes)
    both(LoadTwo<Element>(rows[0] + c), LoadTwo<Element>(rows[1] + c), c / 2);
  if (c < dims) {
    both(LoadTwoN<Element>(rows[0] + c, dims - c), LoadTwoN<Element>(rows[1] + c, dims - c), c / 2);
  }
}

// What a set of rows adds to the error of their products.
struct Quanta {
  bool fit = true;
  float square = 0.0f;  // the largest |x|^2
  float step = 0.0f;    // the largest 1 / s

  TAMIS_INLINE void Add(const Quanta& rows) {
    fit = fit && rows.fit;
    square = rows.square > square ? rows.square : square;
    step = rows.step > step ? rows.step : step;
  }
  TAMIS_INLINE void Add(const RowQuantum& row) { Add(Quanta{row.fits, row.square, row.step}); }
};

// Whether products of integers are as good as storage accuracy asks for. An element is off by a
// step's rounding, of variance step^2 / 12.
TAMIS_INLINE bool ScoresFit(const Quanta& queries, const Quanta& keys, float scale) {
  const float variance =
      queries.square * keys.step * keys.step + keys.square * queries.step * queries.step;
  return keys.fit && scale * scale * variance <= 12.0f * kMostScoreError * kMostScoreError;
}

// Pairs [begin, end) of scores[key][vector] = factor[row] step[key] (key . query): a chunk, of
// which the first one begins at 0 and the last one ends at `dim_pairs`.
template <int64_t kStride, int kKeys, int kVectors>
TAMIS_INLINE void Int16ScoreTile(const int32_t* key, int64_t key_stride, const int32_t* query,
                                 int64_t dim_pairs, int64_t begin, int64_t end, const float* factor,
                                 const float* step, float* scores, int64_t score_stride) {
  const int64_t stride = kStride != 0 ? kStride : key_stride;
  I sum[kKeys][kVectors];
  for (int k = 0; k < kKeys; ++k) {
    for (int v = 0; v < kVectors; ++v) sum[k][v] = ZeroInts();
  }
  for (int64_t c = begin; c < end; ++c) {
    I q[kVectors];
    for (int v = 0; v < kVectors; ++v) q[v] = LoadInts(query + (v * dim_pairs + c) * kLanes);
    for (int k = 0; k < kKeys; ++k) {
      const I broadcast = BroadcastInts(&key[k * stride + c]);
      for (int v = 0; v < kVectors; ++v) sum[k][v] = DotInt16(broadcast, q[v], sum[k][v]);
    }
  }
  for (int k = 0; k < kKeys; ++k) {
    for (int v = 0; v < kVectors; ++v) {
      float* to = scores + k * score_stride + v * kLanes;
      V total = FloatsOf(sum[k][v]);
      if (begin > 0) total = Add(total, Load(to));
      if (end == dim_pairs) total = Mul(total, Mul(Load(factor + v * kLanes), Set(step[k])));
      Store(to, total);
    }
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

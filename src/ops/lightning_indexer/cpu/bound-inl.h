// How far a scanned score can be from a score: for every set of factors theta in [0, 1] per head
// the error is a product of sum theta w m, over rows m of queries or of what quantising leaves of
// them, and a key (docs/exact-selection.md). Bounded here is the longest such sum.
#pragma once

#include "ops/lightning_indexer/cpu/scan.h"
#include "ops/lightning_indexer/cpu/scores-inl.h"
#include "prim/formats/key_shadow-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace indexer {

using tamis::lightning_indexer::kScanHeads;
using tamis::lightning_indexer::ScanScratch;
using tamis::lightning_indexer::StateLayout;
using tamis::lightning_indexer::StateOf;
using tamis::lightning_indexer::TokenBound;

// Of `count` values, in whole vectors.
inline float SumOf(const float* values, int64_t count) {
  V sum = Zero();
  for (int64_t i = 0; i < count; i += kLanes) sum = Add(sum, Load(values + i));
  return SumLanes(sum);
}
inline float SumOfSquares(const float* values, int64_t count) {
  V sum = Zero();
  for (int64_t i = 0; i < count; i += kLanes) {
    const V v = Load(values + i);
    sum = Fma(v, v, sum);
  }
  return SumLanes(sum);
}

// to[i][j] = sum over c of left[i][c] right[c][j], for i and j below `rows`.
inline void Multiply(const float* left, int64_t step, const float* right, int64_t inner,
                     int64_t rows, float* to) {
  constexpr int kHeight = 8;  // rows are a multiple of 16
  constexpr int kWidth = 16 / kLanes < 2 ? 1 : 2;
  for (int64_t i = 0; i < rows; i += kHeight) {
    for (int64_t j = 0; j < rows; j += kWidth * kLanes) {
      V sum[kHeight][kWidth];
      Clear(sum);
      for (int64_t c = 0; c < inner; ++c) {
        V r[kWidth];
        for (int v = 0; v < kWidth; ++v) r[v] = Load(right + c * rows + j + v * kLanes);
        for (int k = 0; k < kHeight; ++k) {
          const V l = Set(left[(i + k) * step + c]);
          for (int v = 0; v < kWidth; ++v) sum[k][v] = Fma(l, r[v], sum[k][v]);
        }
      }
      for (int k = 0; k < kHeight; ++k) {
        for (int v = 0; v < kWidth; ++v) Store(to + (i + k) * rows + j + v * kLanes, sum[k][v]);
      }
    }
  }
}

// At least the square of the operator norm of the matrix whose Gram matrix, rows of length 1, is
// `gram`; overwrites both. The Frobenius norm of a power is never below the largest eigenvalue's.
inline float LargestEigenvalue(float* gram, float* power, int64_t rows) {
  constexpr int kSquarings = 4;
  const int64_t elems = rows * rows;
  float* from = gram;
  float* to = power;
  float bound = 1.0f;
  for (int i = 0;; ++i) {
    const float norm = __builtin_sqrtf(SumOfSquares(from, elems));
    float root = norm;
    for (int j = 0; j < i; ++j) root = __builtin_sqrtf(root);
    bound *= root;
    if (i == kSquarings || !(norm > 0.0f)) return bound;
    const V scale = Set(1.0f / norm);
    for (int64_t e = 0; e < elems; e += kLanes) Store(from + e, Mul(Load(from + e), scale));
    Multiply(from, rows, from, rows, rows, to);
    float* const swap = from;
    from = to;
    to = swap;
  }
}

// Of rows[head][step]: at least the length of sum theta row for every theta in [0, 1] per head, the
// least of five bounds; `*lengths` becomes the sum of the rows' lengths.
inline float LongestSum(const Item& it, const ScanScratch& at, const float* rows, float* scratch,
                        float* lengths) {
  const int64_t count = it.rows;
  float* const columns = scratch + at.columns;
  float* const gram = scratch + at.gram;
  for (int64_t h = 0; h < count; ++h) {
    for (int64_t d = 0; d < it.a.dim; ++d) columns[d * count + h] = rows[h * at.step + d];
  }
  Multiply(rows, at.step, columns, it.a.dim, count, gram);
  float* const length = columns;  // the transpose is done with
  float total = 0.0f;
  float squares = 0.0f;
  for (int64_t h = 0; h < count; ++h) {
    const float square = gram[h * count + h];
    length[h] = __builtin_sqrtf(square);
    total += length[h];
    squares += square;
  }
  float positive = 0.0f;
  float magnitude = 0.0f;
  {
    V above = Zero();
    V all = Zero();
    for (int64_t i = 0; i < count * count; i += kLanes) {
      const V g = Load(gram + i);
      above = Add(above, Max(g, Zero()));
      all = Add(all, Max(g, Sub(Zero(), g)));
    }
    positive = SumLanes(above);
    magnitude = SumLanes(all);
  }
  // theta = 1/2 + tau/2 with tau in [-1, 1]
  V middle = Zero();
  for (int64_t d = 0; d < at.step; d += kLanes) {
    V sum = Zero();
    for (int64_t h = 0; h < it.a.heads; ++h) sum = Add(sum, Load(rows + h * at.step + d));
    middle = Fma(sum, sum, middle);
  }
  const float half = 0.5f * __builtin_sqrtf(SumLanes(middle));
  for (int64_t h = 0; h < count; ++h) {
    const float own = length[h] > 0.0f ? 1.0f / length[h] : 0.0f;
    float* const row = gram + h * count;
    for (int64_t j = 0; j < count; ++j)
      row[j] = row[j] * (own * (length[j] > 0.0f ? 1.0f / length[j] : 0.0f));
  }
  const float spread =
      __builtin_sqrtf(LargestEigenvalue(gram, scratch + at.power, count) * squares);
  *lengths = total;
  const float bounds[] = {spread, half + 0.5f * spread, __builtin_sqrtf(positive),
                          half + 0.5f * __builtin_sqrtf(magnitude)};
  float least = total;
  for (float bound : bounds) least = bound < least ? bound : least;
  return least;
}

// Quantises a token's queries into its state; the weighted queries and what quantising leaves of
// them go to scratch. Returns the sum of the weights' magnitudes.
template <class Element>
inline float QuantiseQueries(const Item& it, const ScanScratch& at, int64_t token, float* scratch,
                             float* state) {
  const StateLayout lay = StateOf(it.a);
  const int64_t dim_groups = tamis::prim::ShadowGroups(it.a.dim);
  const int64_t heads = tamis::lightning_indexer::QuadsOf(it.a.heads) * kScanHeads;
  auto* const bytes = reinterpret_cast<uint8_t*>(scratch + at.bytes);
  auto* const queries = reinterpret_cast<int32_t*>(state + lay.queries);
  auto* const starts = reinterpret_cast<int32_t*>(state + lay.starts);
  const float* weights = it.weights + token * it.rows;
  float sum = 0.0f;
  for (int64_t h = 0; h < it.rows; ++h) {
    float* const query = scratch + at.queries + h * at.step;
    float* const error = scratch + at.errors + h * at.step;
    if (h >= it.a.heads) {
      for (int64_t d = 0; d < at.step; d += kLanes) {
        Store(query + d, Zero());
        Store(error + d, Zero());
      }
      if (h >= heads) continue;
      for (int64_t g = 0; g < dim_groups; ++g)
        queries[(h / kScanHeads * dim_groups + g) * kScanHeads + h % kScanHeads] = 0;
      starts[h] = 0;
      state[lay.factors + h] = 0.0f;
      continue;
    }
    const auto row = reinterpret_cast<RowOf<Element>>(QueryRow(it, token, h));
    const float scale = ShadowRow<Element>(row, it.a.dim, 0, bytes).scale;
    const V w = Set(weights[h]);
    const V minus = Set(-scale);
    int32_t start = 0;
    for (int64_t g = 0; g < dim_groups; ++g) {
      int32_t four = 0;
      __builtin_memcpy(&four, bytes + 4 * g, 4);
      queries[(h / kScanHeads * dim_groups + g) * kScanHeads + h % kScanHeads] = four;
      for (int64_t b = 0; b < 4; ++b) {
        const auto integer = static_cast<int8_t>(bytes[4 * g + b]);
        const int64_t d = tamis::prim::ShadowDim(g, b);
        if (d < at.step) error[d] = static_cast<float>(integer);
        start += integer;
      }
    }
    for (int64_t d = 0; d < at.step; d += kLanes) {
      const V q = LoadUpTo<Element>(row + d, it.a.dim - d);
      Store(query + d, Mul(q, w));
      Store(error + d, Mul(Fma(Load(error + d), minus, q), w));
    }
    starts[h] = -128 * start;
    state[lay.factors + h] = weights[h] * scale;
    sum += weights[h] < 0.0f ? -weights[h] : weights[h];
  }
  return sum;
}

// Fills a token's state; a token whose scores the bounds do not cover stays with the plain way.
template <class Element>
inline void PrepareToken(const Item& it, const ScanScratch& at, int64_t token, float* scratch,
                         float* state) {
  const auto dim = static_cast<float>(it.a.dim);
  const auto heads = static_cast<float>(it.a.heads);
  const float sum = QuantiseQueries<Element>(it, at, token, scratch, state);
  float queries = 0.0f;
  float errors = 0.0f;
  const float longest = LongestSum(it, at, scratch + at.queries, scratch, &queries);
  const float left = LongestSum(it, at, scratch + at.errors, scratch, &errors);
  // Of the sums above, in fp32.
  const float slack = 1.0f + (heads + 8.0f) * (dim + heads + 16.0f) * 0x1p-22f;
  const float tiny = 0x1p-60f * heads * (dim + heads);
  // Of the scores, plain and scanned.
  const float rounding = (2.0f * dim + 3.0f * heads + 64.0f) * 0x1p-24f * slack * queries;
  auto* const bound = reinterpret_cast<TokenBound*>(state + StateOf(it.a).bound);
  *bound = {};
  const float flushed = 0x1p-120f * (dim + heads) * (sum + 1.0f);
  bound->per_error = (longest + rounding) * slack + tiny + flushed;
  bound->per_norm = (left + rounding) * slack + tiny + flushed;
  bound->constant = 0x1p-120f * (dim + heads) * (queries + sum + 1.0f);
  bound->scanned = queries >= 0x1p-40f && queries <= 0x1p60f && sum <= 0x1p60f ? 1 : 0;
}

}  // namespace indexer
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

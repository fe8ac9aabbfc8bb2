// What gradients of attention and of index scores are made of: products of keys and rows that stay
// in memory, probabilities from statistics, and sums of rows times factors.
#pragma once

#include "prim/blocks/attention_tile-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

// to[key][row] = finish(key . row) over `count` keys and `vectors` of rows, finish.Of(v) being what
// finishes those of vector v.
template <int64_t kStride, class Finish>
inline void Products(const float* keys, int64_t key_stride, const float* panels, int64_t columns,
                     int64_t count, int64_t vectors, float* to, int64_t stride,
                     const Finish& finish) {
  ForTiles(
      count,
      vectors, [&](auto height, auto width, int64_t k, int64_t v) __attribute__((always_inline)) {
        constexpr int kKeys = decltype(height)::value;
        constexpr int kVectors = decltype(width)::value;
        V sum[kKeys][kVectors];
        ProductTile<kStride>(keys + k * key_stride, key_stride, panels + v * columns * kLanes,
                             columns, sum);
        for (int j = 0; j < kVectors; ++j) {
          const auto done = finish.Of(v + j);
          for (int i = 0; i < kKeys; ++i)
            Store(to + (k + i) * stride + (v + j) * kLanes, done(sum[i][j]));
        }
      });
}
template <class Finish>
inline void ProductsOfKeys(const float* keys, int64_t key_stride, const float* panels,
                           int64_t columns, int64_t count, int64_t vectors, float* to,
                           int64_t stride, const Finish& finish) {
  switch (key_stride) {
    case prim::kNarrowKeyStride:
      return Products<prim::kNarrowKeyStride>(keys, key_stride, panels, columns, count, vectors, to,
                                              stride, finish);
    case prim::kWideKeyStride:
      return Products<prim::kWideKeyStride>(keys, key_stride, panels, columns, count, vectors, to,
                                            stride, finish);
    default:
      return Products<0>(keys, key_stride, panels, columns, count, vectors, to, stride, finish);
  }
}

struct AsIs {
  struct OfRows {
    TAMIS_INLINE V operator()(V product) const { return product; }
  };
  TAMIS_INLINE OfRows Of(int64_t /*v*/) const { return {}; }
};

// exp(88) is finite, and what is far above stays infinite.
constexpr float kMostExponent = 89.0f;

// exp(scale product - max) factor, whatever the statistics are. A NaN stays one: Max gives its
// second operand then.
TAMIS_INLINE V Probability(V product, V scale, V max, V factor) {
  const V x = Sub(Mul(product, scale), max);
  const V least = Max(Set(-kMostExponent), Sub(Zero(), x));
  return Mul(ExpNonPositive(Sub(Zero(), least)), factor);
}

// Of the rows of a product.
struct Probabilities {
  V scale;
  const float* max;
  const float* factor;

  struct OfRows {
    V scale, max, factor;
    TAMIS_INLINE V operator()(V product) const { return Probability(product, scale, max, factor); }
  };
  TAMIS_INLINE OfRows Of(int64_t v) const {
    return {scale, Load(max + v * kLanes), Load(factor + v * kLanes)};
  }
};

inline void Copy(const float* from, int64_t floats, float* to) {
  __builtin_memcpy(to, from, static_cast<size_t>(floats) * sizeof(float));
}

inline void Clear(float* to, int64_t floats) {
  __builtin_memset(to, 0, static_cast<size_t>(floats) * sizeof(float));
}

// As fp32 rows; what follows a row up to the next vector is 0.
inline void WidenRow(prim::Element element, const void* from, int64_t dim, int64_t stride,
                     float* to) {
  Widen(element, from, dim, to);
  for (int64_t c = dim; c < stride; ++c) to[c] = 0.0f;
}

// Elements of any type, also float32 at a level that meets no other.
inline void WidenAny(prim::Element element, const void* from, int64_t count, float* to) {
  if (element == prim::Element::kFloat32) return Copy(static_cast<const float*>(from), count, to);
  Widen(element, from, count, to);
}
inline void NarrowAny(prim::Element element, const float* from, int64_t count, void* to) {
  if (element == prim::Element::kFloat32) return Copy(from, count, static_cast<float*>(to));
  Narrow(element, from, 1.0f, count, to);
}

// Whether any of the rows has an infinity or NaN. The stride is whole lines, and what follows a row
// there 0.
inline bool HasNonFinite(const float* rows, int64_t count, int64_t stride, int64_t floats) {
  V sum[4] = {Zero(), Zero(), Zero(), Zero()};
  for (int64_t row = 0; row < count; ++row) {
    const float* at = rows + row * stride;
    for (int64_t c = 0; c < floats; c += kLanes) {
      V& to = sum[c / kLanes % 4];
      to = Fma(Load(at + c), Zero(), to);
    }
  }
  for (int i = 1; i < 4; ++i) sum[0] = Add(sum[0], sum[i]);
  return !AllEqual(sum[0], sum[0]);
}

// out[row][column..] += sum over terms of e[row, term] x[term][column..], in the order of terms.
template <int kRows, int kVectors>
TAMIS_INLINE void AddTile(const float* e, int64_t e_row, int64_t e_term, const float* x,
                          int64_t x_stride, int64_t terms, float* const* out, int64_t column) {
  V sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sum[r][v] = Load(out[r] + column + v * kLanes);
  }
  for (int64_t t = 0; t < terms; ++t) {
    V row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = Load(x + t * x_stride + column + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const V factor = Set(e[r * e_row + t * e_term]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Fma(factor, row[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) Store(out[r] + column + v * kLanes, sum[r][v]);
  }
}

// The same for `rows` rows, at out[0], out[1], ..., and all columns. Rows past the last, up to
// whole tiles, need a place, too.
struct Factors {
  const float* e;
  int64_t row;   // between rows
  int64_t term;  // between terms
};
inline void AddProducts(const Factors& f, const float* x, int64_t x_stride, int64_t terms,
                        float* const* out, int64_t rows, int64_t columns) {
  ForWidths(
      columns / kLanes, [&](auto width, int64_t v) __attribute__((always_inline)) {
        for (int64_t r = 0; r < rows; r += kTileHeight) {
          AddTile<kTileHeight, decltype(width)::value>(f.e + r * f.row, f.row, f.term, x, x_stride,
                                                       terms, out + r, v * kLanes);
        }
      });
}

// One term of one row.
inline void AddRow(float factor, const float* x, float* out, int64_t columns) {
  const V f = Set(factor);
  for (int64_t c = 0; c < columns; c += kLanes) Store(out + c, Fma(f, Load(x + c), Load(out + c)));
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

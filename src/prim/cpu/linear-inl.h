// y[t][n] = sum_k x[t][k] W[k][n], 16-bit x and W, fp32 sums.
//
// Every sum is one chain of fused multiply-adds over ascending k, whatever the number of tokens,
// the blocking or the format of W: a token's bits never depend on what else is in the call.
#pragma once

#include "prim/cpu/half-inl.h"
#include "prim/cpu/linear.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace linear {

using tamis::prim::kDirectTokens;
using tamis::prim::kLinearDepth;
using tamis::prim::kLinearInput;
using tamis::prim::kLinearStrip;
using tamis::prim::kNzColumns;
using tamis::prim::LinearWeight;

// Tokens of a register tile two vectors wide, see kTileHeight.
constexpr int64_t kTileTokens = kLanes == 16 ? 8 : 4;

// Vectors of columns of a direct tile: as many streams of W. 4 x 4 accumulators fill half of 32
// registers, avx2 has 16 in all.
template <int kTokens>
constexpr int kDirectVectors = kTokens == 1                   ? 12
                               : kLanes == 16 || kTokens <= 2 ? 4
                                                              : 2;

// How weights become a vector.
struct Widened {
  using Element = float;
  V operator()(const float* p) const { return Load(p); }
};
template <class Half>
struct Whole {
  using Element = uint16_t;
  V operator()(const uint16_t* p) const { return Half::LoadHalf(p); }
};
template <class Half>
struct Part {
  using Element = uint16_t;
  int count;
  V operator()(const uint16_t* p) const { return Half::LoadHalfN(p, count); }
};

// Bytes ahead of a stream of weights. Rows of ND are far apart: there it is rows.
constexpr int64_t kPrefetchBytes = 1024;
constexpr int64_t kPrefetchRows = 32;

// sums[t][v] += x[t] W[v] over `depth` rows. Rows of x are x_stride apart, rows of a vector's
// weights `step`, rows of sums kLinearStrip. `ahead`: elements to prefetch at, 0: none.
template <int kTokens, int kVectors, class Read>
TAMIS_INLINE void Tile(const Read& read, const float* x, int64_t x_stride,
                       const typename Read::Element* const (&w)[kVectors], int64_t step,
                       int64_t depth, int64_t ahead, int64_t sums_stride, float* sums) {
  V sum[kTokens][kVectors];
  for (int t = 0; t < kTokens; ++t) {
    for (int v = 0; v < kVectors; ++v) sum[t][v] = Load(sums + t * sums_stride + v * kLanes);
  }
  for (int64_t k = 0; k < depth; ++k) {
    V weight[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      weight[v] = read(w[v] + k * step);
      if (ahead > 0) __builtin_prefetch(w[v] + k * step + ahead, 0, 2);
    }
    for (int t = 0; t < kTokens; ++t) {
      const V broadcast = Set(x[t * x_stride + k]);
      for (int v = 0; v < kVectors; ++v) sum[t][v] = Fma(broadcast, weight[v], sum[t][v]);
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int v = 0; v < kVectors; ++v) Store(sums + t * sums_stride + v * kLanes, sum[t][v]);
  }
}

// Element (k, n) lies at data + k * step + Column(w, n); a vector must not cross a panel of NZ.
inline int64_t StepOf(const LinearWeight& w) { return w.nz ? kNzColumns : w.row_stride; }
inline int64_t Column(const LinearWeight& w, int64_t n) {
  return w.nz ? n / kNzColumns * w.rows * kNzColumns + n % kNzColumns : n;
}

struct Strip {
  const LinearWeight& w;
  int64_t begin;  // first column
  int64_t columns;
  int64_t width;  // of a row of sums: at least columns
  float* panel;
  float* x;
  float* sums;  // [tokens][width]
};

template <int kTokens, int kVectors, class Read>
TAMIS_INLINE void DirectTile(const Strip& s, const Read& read, int64_t first, int64_t depth,
                             int64_t at) {
  const int64_t step = StepOf(s.w);
  const uint16_t* w[kVectors];
  for (int v = 0; v < kVectors; ++v)
    w[v] = s.w.data + first * step + Column(s.w, s.begin + at + v * kLanes);
  const int64_t ahead = s.w.nz ? kPrefetchBytes / 2 : kPrefetchRows * step;
  Tile<kTokens, kVectors>(read, s.x, depth, w, step, depth, ahead, s.width, s.sums + at);
}

template <class Half, int kTokens>
void Direct(const Strip& s, int64_t first, int64_t depth) {
  constexpr int kVectors = kDirectVectors<kTokens>;
  int64_t at = 0;
  for (; at + kVectors * kLanes <= s.columns; at += kVectors * kLanes)
    DirectTile<kTokens, kVectors>(s, Whole<Half>{}, first, depth, at);
  for (; at + 4 * kLanes <= s.columns; at += 4 * kLanes)
    DirectTile<kTokens, 4>(s, Whole<Half>{}, first, depth, at);
  for (; at + kLanes <= s.columns; at += kLanes)
    DirectTile<kTokens, 1>(s, Whole<Half>{}, first, depth, at);
  if (at < s.columns)
    DirectTile<kTokens, 1>(s, Part<Half>{static_cast<int>(s.columns - at)}, first, depth, at);
}

// Inlined by force: gcc 12 takes a function that only prefetches for one without effect.
TAMIS_INLINE void PrefetchStrip(const Strip& s, int64_t k) {
  if (k >= s.w.rows) return;
  const int64_t step = StepOf(s.w);
  for (int64_t n = 0; n < s.columns; n += s.w.nz ? kNzColumns : 32)
    __builtin_prefetch(s.w.data + k * step + Column(s.w, s.begin + n), 0, 2);
}

// Rows [first, first + depth) of the strip as fp32 [vector][depth][lanes]; lanes past the last
// column are 0. The next rows are on their way meanwhile.
template <class Half>
void WidenStrip(const Strip& s, int64_t first, int64_t depth) {
  const int64_t step = StepOf(s.w);
  for (int64_t k = 0; k < depth; ++k) {
    PrefetchStrip(s, first + kLinearDepth + k);
    for (int64_t n = 0; n < s.columns; n += kLanes) {
      const uint16_t* from = s.w.data + (first + k) * step + Column(s.w, s.begin + n);
      const int64_t left = s.columns - n;
      const V weights =
          left >= kLanes ? Half::LoadHalf(from) : Half::LoadHalfN(from, static_cast<int>(left));
      Store(s.panel + (n / kLanes * depth + k) * kLanes, weights);
    }
  }
}

template <int kTokens>
void PanelTiles(const Strip& s, int64_t depth, int64_t token) {
  float* sums = s.sums + token * s.width;
  int64_t at = 0;
  for (; at + kLanes < s.columns; at += 2 * kLanes) {
    const float* const w[2] = {s.panel + at * depth, s.panel + (at + kLanes) * depth};
    Tile<kTokens, 2>(Widened{}, s.x, depth, w, kLanes, depth, 0, s.width, sums + at);
  }
  if (at < s.columns) {
    const float* const w[1] = {s.panel + at * depth};
    Tile<kTokens, 1>(Widened{}, s.x, depth, w, kLanes, depth, 0, s.width, sums + at);
  }
}

// x [tokens][depth] of `count` tokens, from row `first` of W on.
template <class Half, class Input>
TAMIS_INLINE void WidenInput(const Strip& s, const Input& input, int64_t token, int64_t count,
                             int64_t first, int64_t depth) {
  for (int64_t t = 0; t < count; ++t)
    WidenAs<Half>(input(token + t) + first, depth, s.x + t * depth);
}

template <class Half, class Input>
void DirectStrip(const Strip& s, const Input& input, int64_t tokens) {
  const int64_t most = kLinearInput / tokens;
  for (int64_t first = 0; first < s.w.rows; first += most) {
    const int64_t depth = s.w.rows - first < most ? s.w.rows - first : most;
    WidenInput<Half>(s, input, 0, tokens, first, depth);
    switch (tokens) {
      case 1: Direct<Half, 1>(s, first, depth); break;
      case 2: Direct<Half, 2>(s, first, depth); break;
      case 3: Direct<Half, 3>(s, first, depth); break;
      default: Direct<Half, 4>(s, first, depth); break;
    }
  }
}

template <class Half, class Input>
void PanelStrip(const Strip& s, const Input& input, int64_t tokens) {
  for (int64_t first = 0; first < s.w.rows; first += kLinearDepth) {
    const int64_t depth = s.w.rows - first < kLinearDepth ? s.w.rows - first : kLinearDepth;
    WidenStrip<Half>(s, first, depth);
    for (int64_t token = 0; token < tokens;) {
      const int64_t left = tokens - token;
      const int64_t count = left >= kTileTokens ? kTileTokens : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      WidenInput<Half>(s, input, token, count, first, depth);
      switch (count) {
        case 1: PanelTiles<1>(s, depth, token); break;
        case 2: PanelTiles<2>(s, depth, token); break;
        case 4: PanelTiles<4>(s, depth, token); break;
        default: PanelTiles<kTileTokens>(s, depth, token); break;
      }
      token += count;
    }
  }
}

}  // namespace linear

// Columns [begin, end) of x W: input(t) gives the row of token t, output(t, column, sums, count)
// takes `count` sums from `column` on.
template <class Half, class Input, class Output>
TAMIS_INLINE void Linear(const tamis::prim::LinearWeight& w, int64_t begin, int64_t end,
                         int64_t tokens, float* scratch, const Input& input, const Output& output) {
  using namespace linear;
  float* const panel = scratch;
  float* const x = panel + kLinearStrip * kLinearDepth;
  float* const sums = x + kLinearInput;
  // Within a panel of NZ a strip is computed from the panel's first column to its last.
  const int64_t first = w.nz ? begin / kNzColumns * kNzColumns : begin;
  const int64_t last = w.nz ? (end + kNzColumns - 1) / kNzColumns * kNzColumns : end;
  const int64_t width = LinearStrip(w, tokens);
  for (int64_t column = first; column < last; column += width) {
    const int64_t columns = last - column < width ? last - column : width;
    const Strip strip = {w, column, columns, width, panel, x, sums};
    for (int64_t i = 0; i < tokens * width; ++i) sums[i] = 0.0f;
    if (tokens <= kDirectTokens) {
      DirectStrip<Half>(strip, input, tokens);
    } else {
      PanelStrip<Half>(strip, input, tokens);
    }
    const int64_t from = column < begin ? begin : column;
    const int64_t to = column + columns > end ? end : column + columns;
    for (int64_t t = 0; t < tokens; ++t)
      output(t, from, sums + t * width + (from - column), to - from);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

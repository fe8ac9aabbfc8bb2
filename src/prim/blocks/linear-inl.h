// y[t][n] = sum_k x[t][k] W[k][n], x and W of one dtype, fp32 sums.
//
// Every sum is a sum of chains of fused multiply-adds, or of dot products of bfloat16 pairs, each
// over 64 columns of x, whatever the number of tokens, the blocking or the format of W: a token's
// bits never depend on what else is in the call.
#pragma once

#include "prim/blocks/columns-inl.h"
#include "prim/blocks/linear.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace linear {

using tamis::prim::kDirectTokens;
using tamis::prim::kLinearChain;
using tamis::prim::kLinearInput;
using tamis::prim::kLinearPanel;
using tamis::prim::kNzColumns;
using tamis::prim::LinearWeight;

// Tokens of a register tile two vectors wide. 16 accumulators hide latency 4 on 2 ports, and 10
// loads serve 16 FMAs; with 24, avx512 is slower and products of bfloat16 pairs an eighth faster.
// avx2 has 16 registers in all: with 12 accumulators it is a tenth faster than with 8.
constexpr int64_t kTileTokens = kBf16Pairs ? 12 : kLanes == 16 ? 8 : 6;

// Accumulators of a direct tile: 24 of 32 registers, or 12 of 16. One token of 192 columns is one.
constexpr int kDirectAccumulators = kLanes == 16 ? 24 : 12;

// How weights become a vector.
struct Packed {
  using Stored = float;
  V operator()(const float* p) const { return Load(p); }
};
template <class Element>
struct Whole {
  using Stored = typename Element::Stored;
  int64_t step;
  V operator()(const Stored* p) const { return LoadRows<Element>(p, step); }
};
template <class Element>
struct Part {
  using Stored = typename Element::Stored;
  int64_t step;
  int count;
  V operator()(const Stored* p) const { return LoadRowsN<Element>(p, step, count); }
};

// Panels of NZ stream: lines are asked for this many bytes ahead into L1, which keeps some 4 KiB of
// them. Rows of ND are far apart: what counts there are the entries of their pages, which a hint
// for L2 brings, rows ahead, fewer where a tile takes much of each.
constexpr int64_t kPrefetchBytes = 1024;
constexpr int64_t kPrefetchRows = 48;
constexpr int64_t kPrefetchWideRows = 32;
constexpr int64_t kWideColumns = 128;

// The weights of a tile, those that column k of x meets at w[v] + k * step; and what is prefetched
// beside them, rows of weights from next[v] on, next_step apart.
template <class Element, class ReadAs, int kCount, bool kNzWeights>
struct Columns {
  using Read = ReadAs;
  static constexpr bool kNz = kNzWeights;
  static constexpr int kVectors = kCount;
  Read read;
  const typename Read::Stored* w[kCount];
  int64_t step;
  const typename Element::Stored* next[kCount];
  int64_t next_step;  // 0: nothing
};

// sums[t][v] += x[t] W[v] over the columns [begin, end) of x, one chain.
template <int kTokens, class Columns>
TAMIS_INLINE void Chain(const Columns& c, const float* x, int64_t x_stride, int64_t begin,
                        int64_t end, float* sums, int64_t sums_stride) {
  constexpr int kVectors = Columns::kVectors;
  V sum[kTokens][kVectors];
  for (int t = 0; t < kTokens; ++t) {
    for (int v = 0; v < kVectors; ++v) sum[t][v] = Zero();
  }
  for (int64_t k = begin; k < end; ++k) {
    V weight[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      weight[v] = c.read(c.w[v] + k * c.step);
      if (c.next_step == 0) continue;
      const auto* next = c.next[v] + k * kColumnDims * c.next_step;
      if constexpr (Columns::kNz) {  // a pair of 16-bit rows is one line
        __builtin_prefetch(next, 0, 3);
      } else {
        for (int row = 0; row < kColumnDims; ++row)
          __builtin_prefetch(next + row * c.next_step, 0, 2);
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      const V broadcast = Set(x[t * x_stride + k]);
      for (int v = 0; v < kVectors; ++v) sum[t][v] = MultiplyAdd(broadcast, weight[v], sum[t][v]);
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int v = 0; v < kVectors; ++v) {
      float* const to = sums + t * sums_stride + v * kLanes;
      Store(to, Add(Load(to), sum[t][v]));
    }
  }
}

// sums[t][v] += x[t] W[v] over `columns` of x, which begin with a chain.
template <int kTokens, class Columns>
TAMIS_INLINE void Tile(const Columns& c, const float* x, int64_t x_stride, int64_t columns,
                       float* sums, int64_t sums_stride) {
  for (int64_t begin = 0; begin < columns; begin += kLinearChain) {
    const int64_t end = begin + kLinearChain < columns ? begin + kLinearChain : columns;
    Chain<kTokens>(c, x, x_stride, begin, end, sums, sums_stride);
  }
}

// Element (k, n) lies at data + k * step + Column(w, n); a vector must not cross a panel of NZ.
inline int64_t StepOf(const LinearWeight& w) { return w.nz ? kNzColumns : w.row_stride; }
inline int64_t Column(const LinearWeight& w, int64_t n) {
  return w.nz ? n / kNzColumns * w.rows * kNzColumns + n % kNzColumns : n;
}
template <class Element>
TAMIS_INLINE const typename Element::Stored* WeightAt(const LinearWeight& w, int64_t k, int64_t n) {
  return ElementAt<Element>(w.data, k * StepOf(w) + Column(w, n));
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

template <class Element, int kTokens, int kVectors, bool kNz, class Read>
TAMIS_INLINE void DirectTile(const Strip& s, const Read& read, int64_t first, int64_t depth,
                             int64_t at) {
  const int64_t step = StepOf(s.w);
  constexpr int64_t kRows = kVectors * kLanes >= kWideColumns ? kPrefetchWideRows : kPrefetchRows;
  const int64_t ahead = kNz ? kPrefetchBytes / kBytes<Element> : kRows * step;
  Columns<Element, Read, kVectors, kNz> c = {
      .read = read, .w = {}, .step = kColumnDims * step, .next = {}, .next_step = step};
  for (int v = 0; v < kVectors; ++v) {
    c.w[v] = WeightAt<Element>(s.w, first, s.begin + at + v * kLanes);
    c.next[v] = c.w[v] + ahead;
  }
  Tile<kTokens>(c, s.x, ColumnsOf(depth), ColumnsOf(depth), s.sums + at, s.width);
}

// The columns from `at` on in tiles of kVectors vectors, where registers hold one; returns the
// next.
template <class Element, int kTokens, int kVectors, bool kNz>
TAMIS_INLINE int64_t DirectTiles(const Strip& s, int64_t first, int64_t depth, int64_t at) {
  if constexpr (kTokens * kVectors <= kDirectAccumulators) {
    for (; at + kVectors * kLanes <= s.columns; at += kVectors * kLanes)
      DirectTile<Element, kTokens, kVectors, kNz>(s, Whole<Element>{StepOf(s.w)}, first, depth, at);
  }
  return at;
}

template <class Element, int kTokens>
void DirectRows(const Strip& s, int64_t first, int64_t depth) {
  int64_t at = DirectTiles<Element, kTokens, 12, false>(s, first, depth, 0);
  at = DirectTiles<Element, kTokens, 8, false>(s, first, depth, at);
  at = DirectTiles<Element, kTokens, 4, false>(s, first, depth, at);
  at = DirectTiles<Element, kTokens, 2, false>(s, first, depth, at);
  at = DirectTiles<Element, kTokens, 1, false>(s, first, depth, at);
  if (at < s.columns) {
    const Part<Element> part = {StepOf(s.w), static_cast<int>(s.columns - at)};
    DirectTile<Element, kTokens, 1, false>(s, part, first, depth, at);
  }
}

// Strips are whole panels.
template <class Element, int kTokens>
void DirectPanels(const Strip& s, int64_t first, int64_t depth) {
  int64_t at = DirectTiles<Element, kTokens, 4, true>(s, first, depth, 0);
  at = DirectTiles<Element, kTokens, 2, true>(s, first, depth, at);
  DirectTiles<Element, kTokens, 1, true>(s, first, depth, at);
}

template <class Element, int kTokens>
void Direct(const Strip& s, int64_t first, int64_t depth) {
  s.w.nz ? DirectPanels<Element, kTokens>(s, first, depth)
         : DirectRows<Element, kTokens>(s, first, depth);
}

// Rows [first, first + depth) of the strip as [vector][columns of depth][lanes]; lanes past the
// last column of the strip are 0.
template <class Element>
void PackStrip(const Strip& s, int64_t first, int64_t depth) {
  const int64_t step = StepOf(s.w);
  const int64_t columns = ColumnsOf(depth);
  for (int64_t n = 0; n < s.columns; n += kLanes) {
    const auto* from = WeightAt<Element>(s.w, first, s.begin + n);
    float* to = s.panel + n * columns;
    const int count = s.columns - n < kLanes ? static_cast<int>(s.columns - n) : kLanes;
    if (count == kLanes) {
      for (int64_t k = 0; k < columns; ++k)
        Store(to + k * kLanes, LoadRows<Element>(from + k * kColumnDims * step, step));
    } else {
      for (int64_t k = 0; k < columns; ++k)
        Store(to + k * kLanes, LoadRowsN<Element>(from + k * kColumnDims * step, step, count));
    }
  }
}

template <class Element, int kTokens, int kVectors>
TAMIS_INLINE void PanelTile(const Strip& s, int64_t next, int64_t depth, int64_t at, float* sums) {
  const int64_t next_step = next < s.w.rows ? StepOf(s.w) : 0;
  Columns<Element, Packed, kVectors, false> c = {
      .read = {}, .w = {}, .step = kLanes, .next = {}, .next_step = next_step};
  for (int v = 0; v < kVectors; ++v) {
    c.w[v] = s.panel + (at + v * kLanes) * ColumnsOf(depth);
    c.next[v] =
        ElementAt<Element>(s.w.data, next * next_step + Column(s.w, s.begin + at + v * kLanes));
  }
  Tile<kTokens>(c, s.x, ColumnsOf(depth), ColumnsOf(depth), sums + at, s.width);
}

// A tile of tokens times the packed strip. Meanwhile the strip's rows from `next` on come closer:
// while products fill the time, memory would idle.
template <class Element, int kTokens>
void PanelTiles(const Strip& s, int64_t next, int64_t depth, float* sums) {
  int64_t at = 0;
  for (; at + kLanes < s.columns; at += 2 * kLanes)
    PanelTile<Element, kTokens, 2>(s, next, depth, at, sums);
  if (at < s.columns) PanelTile<Element, kTokens, 1>(s, next, depth, at, sums);
}

// x [tokens][columns of depth] of `count` tokens, from row `first` of W on.
template <class Element, class Input>
TAMIS_INLINE void SpreadInput(const Strip& s, const Input& input, int64_t token, int64_t count,
                              int64_t first, int64_t depth) {
  for (int64_t t = 0; t < count; ++t)
    SpreadAs<Element>(input(token + t) + first, depth, s.x + t * ColumnsOf(depth));
}

template <class Element, class Input>
void DirectStrip(const Strip& s, const Input& input, int64_t tokens) {
  // Whole chains.
  const int64_t most = kLinearInput / tokens / kLinearChain * kLinearChain * kColumnDims;
  for (int64_t first = 0; first < s.w.rows; first += most) {
    const int64_t depth = s.w.rows - first < most ? s.w.rows - first : most;
    SpreadInput<Element>(s, input, 0, tokens, first, depth);
    switch (tokens) {
      case 1: Direct<Element, 1>(s, first, depth); break;
      case 2: Direct<Element, 2>(s, first, depth); break;
      case 3: Direct<Element, 3>(s, first, depth); break;
      case 4: Direct<Element, 4>(s, first, depth); break;
      case 5: Direct<Element, 5>(s, first, depth); break;
      case 6: Direct<Element, 6>(s, first, depth); break;
      case 7: Direct<Element, 7>(s, first, depth); break;
      default: Direct<Element, 8>(s, first, depth); break;
    }
  }
}

// Tokens of the next register tile. 16 are two tiles of 8: one of 4 would wait for its own sums.
inline int64_t TokensOfTile(int64_t left) {
  constexpr int64_t kHalf = 8;
  if (left >= kTileTokens && (kTileTokens <= kHalf || left != 2 * kHalf)) return kTileTokens;
  return left >= kHalf && kTileTokens > kHalf ? kHalf : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

template <class Element, class Input>
void PanelStrip(const Strip& s, const Input& input, int64_t tokens) {
  constexpr int64_t kMost = kLinearChain * kColumnDims;
  for (int64_t first = 0; first < s.w.rows; first += kMost) {
    const int64_t depth = s.w.rows - first < kMost ? s.w.rows - first : kMost;
    PackStrip<Element>(s, first, depth);
    for (int64_t token = 0; token < tokens;) {
      const int64_t count = TokensOfTile(tokens - token);
      const int64_t next = token == 0 ? first + depth : s.w.rows;
      float* const sums = s.sums + token * s.width;
      SpreadInput<Element>(s, input, token, count, first, depth);
      switch (count) {
        case 1: PanelTiles<Element, 1>(s, next, depth, sums); break;
        case 2: PanelTiles<Element, 2>(s, next, depth, sums); break;
        case 4: PanelTiles<Element, 4>(s, next, depth, sums); break;
        case 8: PanelTiles<Element, 8>(s, next, depth, sums); break;
        default: PanelTiles<Element, kTileTokens>(s, next, depth, sums); break;
      }
      token += count;
    }
  }
}

}  // namespace linear

// Columns [begin, end) of x W: input(t) gives the row of token t, output(t, column, sums, count)
// takes `count` sums from `column` on.
template <class Element, class Input, class Output>
TAMIS_INLINE void Linear(const tamis::prim::LinearWeight& w, int64_t begin, int64_t end,
                         int64_t tokens, float* scratch, const Input& input, const Output& output) {
  using namespace linear;
  float* const panel = scratch;
  float* const x = panel + kLinearPanel;
  float* const sums = x + kLinearInput;
  // Within a panel of NZ a strip is computed from the panel's first column to its last.
  const int64_t first = w.nz ? begin / kNzColumns * kNzColumns : begin;
  const int64_t last = w.nz ? (end + kNzColumns - 1) / kNzColumns * kNzColumns : end;
  const int64_t width = LinearStrip(w, tokens);
  for (int64_t column = first; column < last; column += width) {
    const int64_t columns = last - column < width ? last - column : width;
    const Strip strip = {.w = w,
                         .begin = column,
                         .columns = columns,
                         .width = width,
                         .panel = panel,
                         .x = x,
                         .sums = sums};
    for (int64_t i = 0; i < tokens * width; ++i) sums[i] = 0.0f;
    if (tokens <= kDirectTokens) {
      DirectStrip<Element>(strip, input, tokens);
    } else {
      PanelStrip<Element>(strip, input, tokens);
    }
    const int64_t from = column < begin ? begin : column;
    const int64_t to = column + columns > end ? end : column + columns;
    for (int64_t t = 0; t < tokens; ++t)
      output(t, from, sums + t * width + (from - column), to - from);
  }
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL

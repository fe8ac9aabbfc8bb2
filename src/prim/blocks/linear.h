// Matrix products with weights, as plans and kernels see them.
#pragma once

#include <stdint.h>

#include "prim/call/scratch.h"

namespace tamis::prim {

/// Where the row of a token lies, in elements: tokens are [T] or [B, S1].
struct TokenStrides {
  int64_t tokens_per_batch;
  int64_t batch_stride;
  int64_t token_stride;
};

static inline int64_t OffsetOf(const TokenStrides& s, int64_t token) {
  return token / s.tokens_per_batch * s.batch_stride + token % s.tokens_per_batch * s.token_stride;
}

/// W [rows, columns]. ND: rows `row_stride` apart. NZ: panels of 16 columns, each [rows, 16]; both
/// sizes are multiples of 16.
struct LinearWeight {
  const void* data;  // of the dtype of x
  int64_t rows;
  int64_t columns;
  int64_t row_stride;
  bool nz;
};

inline constexpr int64_t kNzColumns = 16;

/// Up to so many tokens use each weight a few times only: weights go from memory into registers,
/// and what counts is that they stream. More tokens share a block of weights that is widened, or
/// packed, once.
inline constexpr int64_t kDirectTokens = 8;

/// Columns that are computed in one pass over the rows of W. A panel of NZ streams by itself; rows
/// of ND are far apart, and while reading them counts, a pass must take enough of each. Of few
/// tokens a narrow strip leaves more items; of many a wide one reads x half as often.
inline constexpr int64_t kLinearStrip = 128;
inline constexpr int64_t kNarrowStrip = 64;
inline constexpr int64_t kWideStrip = 192;
inline constexpr int64_t kWideStripTokens = 32;
static inline int64_t LinearStrip(const LinearWeight& w, int64_t tokens) {
  if (w.nz) return tokens <= kDirectTokens ? kNarrowStrip : kLinearStrip;
  return tokens <= kWideStripTokens ? kWideStrip : kLinearStrip;
}

/// Columns of x that one chain of a sum goes over; the sums of the chains are added in order. One
/// chain over 7168 rows takes as long and has six times the error, which selections feel: in 13 of
/// 100 draws of document 003's example it chose another key than the float64 reference in one of
/// four sequences; with these chains in 2.
inline constexpr int64_t kLinearChain = 64;

/// Columns of weights that are packed at a time: a chain of the widest strip. Of others that is 32
/// KiB, two thirds of an L1 cache.
inline constexpr int64_t kLinearPanel = kWideStrip * kLinearChain;
/// Columns of x at a time.
inline constexpr int64_t kLinearInput = 2048;
static_assert(kLinearInput / kDirectTokens >= kLinearChain);

/// Whether products with W can be of pairs of rows.
static inline bool RowsPairUp(const LinearWeight& w) { return w.rows % 2 == 0; }

/// Strips of W, where an item is one.
static inline int64_t LinearStrips(const LinearWeight& w, int64_t tokens) {
  const int64_t strip = LinearStrip(w, tokens);
  return RoundedUp(w.columns, strip) / strip;
}

/// Floats of scratch for up to `tokens` tokens a call: packed weights, columns of x, sums.
static inline int64_t LinearScratchFloats(int64_t tokens) {
  const int64_t sums = Times(tokens, tokens <= kWideStripTokens ? kWideStrip : kLinearStrip);
  return Plus(kLinearPanel + kLinearInput, sums);
}

}  // namespace tamis::prim

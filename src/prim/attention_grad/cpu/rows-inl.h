// Rows of queries, gradients of outputs, keys and values into scratch, and the product that adds up
// gradients.
#pragma once

#include "prim/attention_grad/cpu/item-inl.h"
#include "prim/blocks/attention_tile-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention_grad {

// Query rows [first, first + rows) of a unit: entries x heads of the kv head.
struct Batch {
  const Args& a;
  const Sequence& s;
  int64_t token;  // of the group, in the sequence
  int64_t kv_head;
  const Entry* entries;
  int64_t first;
  int64_t rows;

  const Entry& EntryOf(int64_t row) const { return entries[(first + row) / a.attend.group]; }
  int64_t TokenOf(int64_t row) const { return token + EntryOf(row).token; }
  int64_t HeadOf(int64_t row) const {
    return kv_head * a.attend.group + (first + row) % a.attend.group;
  }
  // Of the group's rows.
  int64_t PlaceOf(int64_t row) const {
    return EntryOf(row).token * a.attend.group + (first + row) % a.attend.group;
  }
  uint8_t* At(const Heads& heads, int64_t row) const {
    return heads.data + OffsetOf(heads.at, s.batch, s.token + TokenOf(row)) +
           HeadOf(row) * heads.head_stride;
  }
};

template <class Body>
TAMIS_INLINE void ForBatches(const Args& a, const Group& group, int64_t kv_head,
                             const Entry* entries, int64_t count, const Body& body) {
  const int64_t rows = count * a.attend.group;
  for (int64_t first = 0; first < rows; first += kBatchRows) {
    body(Batch{a, a.attend.sequences[group.sequence], group.token, kv_head, entries, first,
               Smaller(kBatchRows, rows - first)});
  }
}

// As panels [vector of rows][column][lane].
inline void PackPanels(const Batch& batch, const Heads& heads, int64_t dim, float* panels) {
  for (int64_t v = 0; v < batch.rows; v += kLanes) {
    const void* from[kLanes];
    for (int i = 0; i < kLanes; ++i)
      from[i] = v + i < batch.rows ? batch.At(heads, v + i) : nullptr;
    PackRows(batch.a.attend.element, from, dim, panels + v * ColumnsOf(dim));
  }
}

// As fp32 rows; what follows a row up to the next vector is 0.
inline void WidenRow(prim::Element element, const void* from, int64_t dim, int64_t stride,
                     float* to) {
  Widen(element, from, dim, to);
  for (int64_t c = dim; c < stride; ++c) to[c] = 0.0f;
}
inline void WidenBatch(const Batch& batch, const Heads& heads, int64_t dim, int64_t stride,
                       float* to) {
  for (int64_t row = 0; row < batch.rows; ++row)
    WidenRow(batch.a.attend.element, batch.At(heads, row), dim, stride, to + row * stride);
}

// Row of a position.
inline const uint8_t* KeyRow(const prim::attention::Rows& rows, const Sequence& s, int64_t kv_head,
                             int64_t position) {
  return rows.data + s.batch * rows.page_stride + (s.of[0].key_begin + position) * rows.row_stride +
         kv_head * rows.head_stride;
}

// Keys or values of a unit as columns, those past the last 0.
inline void SpreadUnit(const Args& a, const prim::attention::Rows& rows, const Sequence& s,
                       int64_t kv_head, const Range& at, int64_t keys, int64_t dim, int64_t stride,
                       float* to) {
  const int64_t count = at.end - at.begin;
  for (int64_t k = 0; k < count; ++k)
    Spread(a.attend.element, KeyRow(rows, s, kv_head, at.begin + k), dim, to + k * stride);
  for (int64_t k = count; k < keys; ++k) {
    for (int64_t c = 0; c < ColumnsOf(dim); ++c) to[k * stride + c] = 0.0f;
  }
}

// Whether any of the rows has an infinity or NaN.
inline bool HasNonFinite(const float* rows, int64_t count, int64_t stride, int64_t dim) {
  V sum = Zero();
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t c = 0; c < dim; c += kLanes) sum = Fma(Load(rows + row * stride + c), Zero(), sum);
  }
  return !AllEqual(sum, sum);
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

}  // namespace attention_grad
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

// Rows of queries, gradients of outputs, keys and values into scratch.
#pragma once

#include "prim/attention_grad/cpu/item-inl.h"
#include "prim/blocks/gradients-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention_grad {

// Query rows [first, first + rows) of a unit: entries x heads of the kv head. Where they lie is
// found once for all that is done with them: divisions of every row by the heads took a tenth of
// the time.
struct Batch {
  const Args& a;
  const Sequence& s;
  int64_t first;
  int64_t rows;
  int64_t head;   // of the kv head, the first
  int64_t token;  // of the group, in the sequence
  const Entry* entry_of[kBatchRows];
  int32_t head_of[kBatchRows];  // of the kv head's

  Batch(const Args& args, const Group& group, int64_t kv_head, const Entry* entries, int64_t from,
        int64_t count)
      : a(args),
        s(args.attend.sequences[group.sequence]),
        first(from),
        rows(count),
        head(kv_head * args.attend.group),
        token(group.token) {
    const Entry* entry = entries + first / a.attend.group;
    auto at = static_cast<int32_t>(first % a.attend.group);
    for (int64_t row = 0; row < rows; ++row) {
      entry_of[row] = entry;
      head_of[row] = at;
      if (++at < a.attend.group) continue;
      at = 0;
      ++entry;
    }
  }

  const Entry& EntryOf(int64_t row) const { return *entry_of[row]; }
  int64_t TokenOf(int64_t row) const { return token + entry_of[row]->token; }
  int64_t HeadOf(int64_t row) const { return head + head_of[row]; }
  // Of the group's rows.
  int64_t PlaceOf(int64_t row) const {
    return entry_of[row]->token * a.attend.group + head_of[row];
  }
  uint8_t* At(const Heads& heads, int64_t row) const {
    return heads.data + OffsetOf(heads.at, s.batch, s.token + TokenOf(row)) +
           HeadOf(row) * heads.head_stride;
  }
  // Between keys of the batch in the tables: a batch's pairs lie together.
  int64_t stride() const { return RoundedUp(rows, prim::attention_grad::kLine); }
};

template <class Body>
TAMIS_INLINE void ForBatches(const Args& a, const Group& group, int64_t kv_head,
                             const Entry* entries, int64_t count, const Body& body) {
  const int64_t rows = count * a.attend.group;
  for (int64_t first = 0; first < rows; first += kBatchRows)
    body(Batch(a, group, kv_head, entries, first, Smaller(kBatchRows, rows - first)));
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

// As fp32 rows.
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

}  // namespace attention_grad
}  // namespace
}  // namespace tamis::TAMIS_LEVEL

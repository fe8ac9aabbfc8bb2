// The gradient of attention, one level.
//
//   P[row, key]  = exp(scale q . k - max) / sum       dP = dO . v       delta[row] = sum P dP
//   dS = scale P (dP - delta)
//   dQ[row] = sum_keys dS k       dK[key] = sum_rows dS q       dV[key] = sum_rows P dO
//
// Query rows lie on the lanes in the first three; dims in the others.
#include "prim/attention_grad/cpu/rows-inl.h"
#include "prim/blocks/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention_grad {

// --- probabilities and their gradients

// One group for one kv head.
struct Worker {
  const Args& a;
  const Scratch& at;
  const Group& group;
  const Sequence& s;
  int64_t kv_head;
  Tables tables;
  float* scratch;

  Range* seen() const { return reinterpret_cast<Range*>(scratch + at.seen); }
  float* GradOf(int64_t place) const { return scratch + at.query_grads + place * at.dim_stride; }
};

inline bool SeesAll(const Worker& w, const Batch& batch, const Range& positions) {
  const Entry* before = nullptr;
  for (int64_t row = 0; row < batch.rows; ++row) {
    const Entry* entry = batch.entry_of[row];
    if (entry != before && !SeesAll(w.a, w.seen()[entry->token], positions)) return false;
    before = entry;
  }
  return true;
}

// Statistics of a batch's rows; those past the last have probabilities of 0.
inline void LoadStatistics(const Worker& w, const Batch& batch) {
  for (int64_t row = 0; row < RoundedUp(batch.rows, kLanes); ++row) {
    const bool within = row < batch.rows;
    const int64_t token = within ? w.s.token + batch.TokenOf(row) : 0;
    const int64_t head = within ? batch.HeadOf(row) : 0;
    w.scratch[w.at.row_max + row] =
        within ? w.a.max[OffsetOf(w.a.max_at, w.s.batch, token) + head] : 0.0f;
    w.scratch[w.at.row_factor + row] =
        within ? static_cast<float>(batch.EntryOf(row).repeats) /
                     w.a.sum[OffsetOf(w.a.sum_at, w.s.batch, token) + head]
               : 0.0f;
  }
}

inline void LoadDeltas(const Worker& w, const Batch& batch) {
  for (int64_t row = 0; row < RoundedUp(batch.rows, kLanes); ++row) {
    w.scratch[w.at.row_delta + row] =
        row < batch.rows ? w.scratch[w.at.deltas + batch.PlaceOf(row)] : 0.0f;
  }
}

// Pairs of a row and a key that it does not see: both numbers are 0, whatever the key holds. A
// token that averages has P of 1 / keys, which no score moves.
inline void HidePairs(const Worker& w, const Batch& batch, const Range& positions, int64_t stride,
                      float* probabilities, float* grads) {
  const int64_t count = positions.end - positions.begin;
  for (int64_t row = 0; row < batch.rows; ++row) {
    const Range& seen = w.seen()[batch.EntryOf(row).token];
    const bool averages = seen.begin == kAverages;
    const float share = averages ? 1.0f / static_cast<float>(w.s.of[0].keys) : 0.0f;
    const auto hide = [&](int64_t k) {
      probabilities[k * stride + row] = share;
      grads[k * stride + row] = 0.0f;
    };
    const int64_t begin = averages ? count : Smaller(seen.begin - positions.begin, count);
    const int64_t end = averages ? count : seen.end - positions.begin;
    for (int64_t k = 0; k < begin; ++k) hide(k);
    for (int64_t k = end > begin ? end : begin; k < count; ++k) hide(k);
    if (SourceOf(w.a).hidden == nullptr || averages) continue;
    for (int64_t k = begin > 0 ? begin : 0; k < Smaller(end, count); ++k) {
      if (!Sees(w.a, batch.TokenOf(row), seen, positions.begin + k)) hide(k);
    }
  }
}

inline void AddDeltas(const Worker& w, const Batch& batch, int64_t count, int64_t stride,
                      const float* probabilities, const float* grads) {
  float* const deltas = w.scratch + w.at.row_delta;
  for (int64_t v = 0; v < batch.rows; v += kLanes) {
    V delta = Load(deltas + v);
    for (int64_t k = 0; k < count; ++k)
      delta = Fma(Load(probabilities + k * stride + v), Load(grads + k * stride + v), delta);
    Store(deltas + v, delta);
  }
  for (int64_t row = 0; row < batch.rows; ++row)
    w.scratch[w.at.deltas + batch.PlaceOf(row)] = deltas[row];
}

// P and dP of a unit, and what they add to delta.
inline void FindProbabilities(const Worker& w, int64_t unit, const Range& positions) {
  const Args& a = w.a;
  const Source& source = SourceOf(a);
  const int64_t dim = a.attend.dim;
  const int64_t value_dim = a.attend.value_dim;
  const int64_t count = positions.end - positions.begin;
  float* const keys = w.scratch + w.at.keys;
  float* const values = w.scratch + w.at.values;
  SpreadUnit(a, source.key, w.s, w.kv_head, positions, w.tables.keys, dim, w.at.key_stride, keys);
  SpreadUnit(a, source.value, w.s, w.kv_head, positions, w.tables.keys, value_dim,
             w.at.unit_value_stride, values);
  ForBatches(a, w.group, w.kv_head, w.tables.EntriesOf(unit), w.tables.CountOf(unit),
             [&](const Batch& batch) {
               const int64_t vectors = (batch.rows + kLanes - 1) / kLanes;
               const int64_t stride = batch.stride();
               float* const p = w.tables.probabilities + w.tables.OffsetOf(unit, batch.first);
               float* const grad = w.tables.scores + w.tables.OffsetOf(unit, batch.first);
               float* const queries = w.scratch + w.at.queries;
               float* const out_grads = w.scratch + w.at.out_grads;
               PackPanels(batch, a.attend.query, dim, queries);
               PackPanels(batch, a.out_grad, value_dim, out_grads);
               LoadStatistics(w, batch);
               LoadDeltas(w, batch);
               const Probabilities finish = {Set(a.attend.scale), w.scratch + w.at.row_max,
                                             w.scratch + w.at.row_factor};
               ProductsOfKeys(keys, w.at.key_stride, queries, ColumnsOf(dim), count, vectors, p,
                              stride, finish);
               ProductsOfKeys(values, w.at.unit_value_stride, out_grads, ColumnsOf(value_dim),
                              count, vectors, grad, stride, AsIs());
               if (!SeesAll(w, batch, positions)) HidePairs(w, batch, positions, stride, p, grad);
               AddDeltas(w, batch, count, stride, p, grad);
             });
}

// --- gradients of scores and queries

inline void FindScoreGrads(const Worker& w, const Batch& batch, int64_t count, int64_t stride,
                           const float* probabilities, float* grads) {
  LoadDeltas(w, batch);
  const V scale = Set(w.a.attend.scale);
  for (int64_t v = 0; v < batch.rows; v += kLanes) {
    const V delta = Load(w.scratch + w.at.row_delta + v);
    for (int64_t k = 0; k < count; ++k) {
      float* const grad = grads + k * stride + v;
      const V p = Mul(Load(probabilities + k * stride + v), scale);
      Store(grad, Mul(p, Sub(Load(grad), delta)));
    }
  }
}

// dS of a unit, which takes the place of dP, and its part of dQ.
inline void FindQueryGrads(const Worker& w, int64_t unit, const Range& positions) {
  const Args& a = w.a;
  const int64_t count = positions.end - positions.begin;
  const bool wanted = a.query_grad.data != nullptr;
  float* const keys = w.scratch + w.at.keys;
  for (int64_t k = 0; wanted && k < count; ++k) {
    WidenRow(a.attend.element, KeyRow(SourceOf(a).key, w.s, w.kv_head, positions.begin + k),
             a.attend.dim, w.at.dim_stride, keys + k * w.at.key_stride);
  }
  const bool finite = !wanted || !HasNonFinite(keys, count, w.at.key_stride, w.at.dim_stride);
  float* const nobody = w.GradOf(a.tokens_per_group * a.attend.group);
  ForBatches(
      a, w.group, w.kv_head, w.tables.EntriesOf(unit), w.tables.CountOf(unit),
      [&](const Batch& batch) {
        const int64_t stride = batch.stride();
        float* const p = w.tables.probabilities + w.tables.OffsetOf(unit, batch.first);
        float* const grad = w.tables.scores + w.tables.OffsetOf(unit, batch.first);
        FindScoreGrads(w, batch, count, stride, p, grad);
        const bool all = SeesAll(w, batch, positions);
        if (!all) HidePairs(w, batch, positions, stride, p, grad);
        if (!wanted) return;
        float* rows[kBatchRows];
        for (int64_t row = 0; row < kBatchRows; ++row)
          rows[row] = row < batch.rows ? w.GradOf(batch.PlaceOf(row)) : nobody;
        if (all || finite) {
          return AddProducts({grad, 1, stride}, keys, w.at.key_stride, count, rows, batch.rows,
                             w.at.dim_stride);
        }
        for (int64_t row = 0; row < batch.rows; ++row) {
          const Range& seen = w.seen()[batch.EntryOf(row).token];
          for (int64_t k = 0; k < count; ++k) {
            if (seen.begin != kAverages && Sees(a, batch.TokenOf(row), seen, positions.begin + k))
              AddRow(grad[k * stride + row], keys + k * w.at.key_stride, rows[row],
                     w.at.dim_stride);
          }
        }
      });
}

inline void WriteQueryGrads(const Worker& w) {
  const Args& a = w.a;
  for (int64_t place = 0; place < w.group.tokens * a.attend.group; ++place) {
    const int64_t token = w.s.token + w.group.token + place / a.attend.group;
    const int64_t head = w.kv_head * a.attend.group + place % a.attend.group;
    Narrow(a.attend.element, w.GradOf(place), 1.0f, a.attend.dim,
           a.query_grad.data + OffsetOf(a.query_grad.at, w.s.batch, token) +
               head * a.query_grad.head_stride);
  }
}

// --- gradients of keys and values

struct KeyWorker {
  const Args& a;
  const Scratch& at;
  const Part& part;
  int64_t kv_head;
  float* scratch;
  void* shared;
};

// Where sums of a unit wait between chunks.
inline float* SumsAt(const KeyWorker& w, int64_t offset, int64_t stride, int64_t position) {
  const int64_t row = w.kv_head * w.a.sum_rows + w.part.sum_begin + position;
  return static_cast<float*>(w.shared) + offset + row * stride;
}

// What one group adds to a unit's keys (x: queries, factors dS) or values (x: gradients of outputs,
// factors P). Terms are the batch's rows.
inline void AddToKeys(const KeyWorker& w, const Batch& batch, const Range& positions,
                      const float* factors, int64_t stride, const float* x, int64_t columns,
                      float* sums) {
  const int64_t count = positions.end - positions.begin;
  if (!HasNonFinite(x, batch.rows, columns, columns)) {
    float* rows[prim::attention_grad::kMostUnitKeys + kTileHeight];
    for (int64_t k = 0; k < RoundedUp(count, kTileHeight); ++k) rows[k] = sums + k * columns;
    return AddProducts({factors, stride, 1}, x, columns, batch.rows, rows, count, columns);
  }
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int64_t token = batch.TokenOf(row);
    const Range seen = SeenByToken(w.a, batch.s, token);
    for (int64_t k = 0; k < count; ++k) {
      if (Sees(w.a, token, seen, positions.begin + k))
        AddRow(factors[k * stride + row], x + row * columns, sums + k * columns, columns);
    }
  }
}

inline void AddGroup(const KeyWorker& w, int64_t index, int64_t unit, const Range& positions) {
  const Args& a = w.a;
  const Group& group = a.groups[index];
  const Tables tables = TablesOf(a, index, w.kv_head, w.shared);
  ForBatches(a, group, w.kv_head, tables.EntriesOf(unit), tables.CountOf(unit),
             [&](const Batch& batch) {
               const int64_t stride = batch.stride();
               const int64_t offset = tables.OffsetOf(unit, batch.first);
               if (a.key_grad.data != nullptr) {
                 float* const queries = w.scratch + w.at.queries;
                 WidenBatch(batch, a.attend.query, a.attend.dim, w.at.dim_stride, queries);
                 AddToKeys(w, batch, positions, tables.scores + offset, stride, queries,
                           w.at.dim_stride, w.scratch + w.at.key_grads);
               }
               if (a.value_grad.data != nullptr) {
                 float* const out_grads = w.scratch + w.at.out_grads;
                 WidenBatch(batch, a.out_grad, a.attend.value_dim, w.at.value_stride, out_grads);
                 AddToKeys(w, batch, positions, tables.probabilities + offset, stride, out_grads,
                           w.at.value_stride, w.scratch + w.at.value_grads);
               }
             });
}

// Sums of the unit, from the chunk before or 0.
inline void BeginUnit(const KeyWorker& w, const Range& positions) {
  const Shared shared(w.a);
  const int64_t count = positions.end - positions.begin;
  float* const keys = w.scratch + w.at.key_grads;
  float* const values = w.scratch + w.at.value_grads;
  Clear(keys, RoundedUp(count, kTileHeight) * w.at.dim_stride);
  Clear(values, RoundedUp(count, kTileHeight) * w.at.value_stride);
  if (w.part.first) return;
  Copy(SumsAt(w, shared.sums, w.at.dim_stride, positions.begin), count * w.at.dim_stride, keys);
  Copy(SumsAt(w, shared.value_sums, w.at.value_stride, positions.begin), count * w.at.value_stride,
       values);
}

inline void WriteRows(const KeyWorker& w, const GradRows& rows, const Range& positions, int64_t dim,
                      int64_t stride, const float* sums) {
  if (rows.data == nullptr) return;
  for (int64_t k = 0; k < positions.end - positions.begin; ++k) {
    uint8_t* const to = rows.data + w.part.batch * rows.page_stride +
                        (w.part.key_begin + positions.begin + k) * rows.row_stride +
                        w.kv_head * rows.head_stride;
    Narrow(w.a.attend.element, sums + k * stride, 1.0f, dim, to);
  }
}

// To the outputs, or for the next chunk.
inline void EndUnit(const KeyWorker& w, const Range& positions) {
  const Shared shared(w.a);
  const int64_t count = positions.end - positions.begin;
  const float* const keys = w.scratch + w.at.key_grads;
  const float* const values = w.scratch + w.at.value_grads;
  if (w.part.last) {
    WriteRows(w, w.a.key_grad, positions, w.a.attend.dim, w.at.dim_stride, keys);
    return WriteRows(w, w.a.value_grad, positions, w.a.attend.value_dim, w.at.value_stride, values);
  }
  Copy(keys, count * w.at.dim_stride, SumsAt(w, shared.sums, w.at.dim_stride, positions.begin));
  Copy(values, count * w.at.value_stride,
       SumsAt(w, shared.value_sums, w.at.value_stride, positions.begin));
}

inline void AddUnit(const KeyWorker& w, int64_t unit) {
  const Range positions = PositionsOf(w.a, unit, w.part.keys);
  if (positions.begin == positions.end) return;
  const int64_t end = w.part.group_begin + w.part.groups;
  int64_t group = w.part.group_begin;
  if (!w.part.first && !w.part.last) {  // what no token of the chunk sees stays where it is
    while (group < end && TablesOf(w.a, group, w.kv_head, w.shared).CountOf(unit) == 0) ++group;
    if (group == end) return;
  }
  BeginUnit(w, positions);
  for (; group < end; ++group) AddGroup(w, group, unit, positions);
  EndUnit(w, positions);
}

}  // namespace attention_grad
}  // namespace

void AttentionGradQueries(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace attention_grad;
  const auto& a = *static_cast<const Args*>(args);
  const Scratch at(a);
  const int64_t index = item / a.attend.kv_heads;
  const int64_t kv_head = item % a.attend.kv_heads;
  const Group& group = a.groups[index];
  const Sequence& s = a.attend.sequences[group.sequence];
  auto* const floats = static_cast<float*>(scratch);
  Worker w = {a, at, group, s, kv_head, TablesOf(a, index, kv_head, shared), floats};
  for (int64_t t = 0; t < group.tokens; ++t) w.seen()[t] = SeenByToken(a, s, group.token + t);
  FillIndex(a, group, kv_head, w.seen(), reinterpret_cast<int32_t*>(floats + at.marks), &w.tables);
  const int64_t rows = group.tokens * a.attend.group;
  Clear(floats + at.deltas, rows);
  Clear(floats + at.query_grads, rows * at.dim_stride);
  const int64_t units = UnitsOf(a, s.of[0].keys);
  for (int64_t u = 0; u < units; ++u) {
    if (w.tables.CountOf(u) > 0) FindProbabilities(w, u, PositionsOf(a, u, s.of[0].keys));
  }
  for (int64_t u = 0; u < units; ++u) {
    if (w.tables.CountOf(u) > 0) FindQueryGrads(w, u, PositionsOf(a, u, s.of[0].keys));
  }
  if (a.query_grad.data != nullptr) WriteQueryGrads(w);
}

void AttentionGradKeys(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace attention_grad;
  const auto& a = *static_cast<const Args*>(args);
  const Scratch at(a);
  const int64_t index = LastBeginningBy(a.parts, a.part_count, &Part::item_begin, item);
  const Part& part = a.parts[index];
  const int64_t units = UnitsOf(a, part.keys);
  const int64_t of_head = (units + a.units_per_item - 1) / a.units_per_item;
  const int64_t place = item - part.item_begin;
  const KeyWorker w = {a, at, part, place / of_head, static_cast<float*>(scratch), shared};
  const int64_t first = place % of_head * a.units_per_item;
  for (int64_t u = first; u < Smaller(first + a.units_per_item, units); ++u) AddUnit(w, u);
}

}  // namespace tamis::TAMIS_LEVEL

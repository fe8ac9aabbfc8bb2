// Where things lie in a worker's scratch, and in what all workers share.
#pragma once

#include "prim/attention_grad/cpu/args.h"
#include "prim/blocks/key_stride.h"
#include "prim/call/scratch.h"

namespace tamis::prim::attention_grad {

/// The rows of a unit that one of a group's tokens has, as many as there are heads, `repeats`
/// times: a list may name a block more than once.
struct Entry {
  int32_t token;  // of the group
  int32_t repeats;
};

/// Where a unit's entries begin, and its rows in the tables of probabilities and gradients.
struct UnitBegin {
  int64_t entry;
  int64_t row;
};

namespace {  // inline functions: no level's copy may be merged with another's

inline constexpr int64_t kLine = 16;  // floats

/// Rows of a unit in the tables: whole vectors of any level.
inline int64_t PaddedRows(const Args& a, int64_t entries) {
  return RoundedUp(Times(entries, a.attend.group), kLine);
}

/// What a group leaves for one kv head, in floats.
struct Slot {
  int64_t begins;         // UnitBegin [max_units + 1]
  int64_t entries;        // Entry [entries]
  int64_t probabilities;  // of a batch of a unit's rows [unit_keys in whole lines][rows]
  int64_t scores;         // gradients of scores, the same
  int64_t keys;           // unit_keys in whole lines
  int64_t total;

  explicit Slot(const Args& a) {
    ScratchLayout parts;
    keys = RoundedUp(a.unit_keys, kLine);
    const int64_t touched = a.entries < a.max_units ? a.entries : a.max_units;
    const int64_t rows = Plus(Times(a.entries, a.attend.group), Times(touched, kLine - 1));
    begins = parts.Take(Times(4, Plus(a.max_units, 1)));
    entries = parts.Take(Times(2, a.entries));
    probabilities = parts.Take(Times(keys, rows));
    scores = parts.Take(Times(keys, rows));
    total = parts.Total();
  }
};

/// What all workers share, in floats.
struct Shared {
  int64_t slots;  // [groups_per_chunk][kv_heads]
  int64_t sums;   // of keys, then of values: [kv_heads][sum_rows][stride]
  int64_t value_sums;
  int64_t total;

  explicit Shared(const Args& a) {
    ScratchLayout parts;
    const int64_t heads = a.attend.kv_heads;
    slots = parts.Take(Times(Slot(a).total, Times(a.groups_per_chunk, heads)));
    const int64_t rows = Times(a.sum_rows, heads);
    sums = parts.Take(Times(rows, RoundedUp(a.attend.dim, kLine)));
    value_sums = parts.Take(Times(rows, RoundedUp(a.attend.value_dim, kLine)));
    total = parts.Total();
  }
};

/// A worker's, in floats, of either phase.
struct Scratch {
  int64_t dim_stride;    // between rows of queries and of gradients of queries and keys
  int64_t value_stride;  // the same of outputs and values
  int64_t key_stride;    // between keys of a unit
  int64_t unit_value_stride;

  // Of both: a batch's rows as panels or one after the other, then what belongs to each.
  int64_t queries;     // [kBatchRows][dim_stride]
  int64_t out_grads;   // [kBatchRows][value_stride]
  int64_t row_max;     // [kBatchRows]: of the forward's softmax,
  int64_t row_factor;  // repeats / sum,
  int64_t row_delta;   // sum of P dP
  // Of the first phase.
  int64_t keys;         // [unit_keys][key_stride]
  int64_t values;       // [unit_keys][unit_value_stride]
  int64_t query_grads;  // [tokens_per_group][group][dim_stride], and a row for no token
  int64_t deltas;       // [tokens_per_group][group]
  int64_t seen;         // Range [tokens_per_group]
  int64_t marks;        // int32 [max_units]
  // Of the second.
  int64_t key_grads;    // [unit_keys][dim_stride]
  int64_t value_grads;  // [unit_keys][value_stride]
  int64_t total;

  explicit Scratch(const Args& a) {
    ScratchLayout parts;
    const int64_t heads = a.attend.group;
    const int64_t keys_of_unit = RoundedUp(a.unit_keys, kLine);
    dim_stride = RoundedUp(a.attend.dim, kLine);
    value_stride = RoundedUp(a.attend.value_dim, kLine);
    key_stride = KeyStrideOf(a.attend.dim);
    unit_value_stride = KeyStrideOf(a.attend.value_dim);
    queries = parts.Take(Times(kBatchRows, dim_stride));
    out_grads = parts.Take(Times(kBatchRows, value_stride));
    row_max = parts.Take(kBatchRows);
    row_factor = parts.Take(kBatchRows);
    row_delta = parts.Take(kBatchRows);
    seen = parts.Take(Times(4, a.tokens_per_group));
    const int64_t both = parts.Total();
    keys = parts.Take(Times(keys_of_unit, key_stride));
    values = parts.Take(Times(keys_of_unit, unit_value_stride));
    query_grads = parts.Take(Times(Plus(Times(a.tokens_per_group, heads), 1), dim_stride));
    deltas = parts.Take(Times(a.tokens_per_group, heads));
    marks = parts.Take(a.max_units);
    const int64_t first = parts.Total();
    ScratchLayout second;
    second.Take(both);
    key_grads = second.Take(Times(keys_of_unit, dim_stride));
    value_grads = second.Take(Times(keys_of_unit, value_stride));
    total = first > second.Total() ? first : second.Total();
  }
};

}  // namespace
}  // namespace tamis::prim::attention_grad

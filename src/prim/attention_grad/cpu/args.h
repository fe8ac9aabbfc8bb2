// What the kernels of the gradient of attention take: plain structs of pointers and counts.
//
// Keys are cut into units of neighbouring positions: a tile of keys that are walked by position, or
// a block of a list, long ones cut. Query tokens come in groups. An item of the first phase, a
// group for one kv head, finds which of its tokens see which unit, and leaves of every pair of a
// query row and a key that it sees the probability and the gradient of the score. An item of the
// second phase, some units for one kv head, adds up what all groups have of its keys. So every sum
// has one owner and one order: by position in the first phase, by query token in the second.
//
// Groups come in chunks, which bounds what is left between the phases; sums of keys that several
// chunks see wait in fp32. Strides are in bytes, those of statistics in elements.
#pragma once

#include "prim/attention/cpu/args.h"

namespace tamis::prim::attention_grad {

/// Rows of the gradient of keys or values.
struct GradRows {
  uint8_t* data = nullptr;  // null: not wanted
  int64_t row_stride = 0;
  int64_t head_stride = 0;
  int64_t page_stride = 0;  // of a sequence of BSND keys; TND: 0
};

/// Query tokens of one sequence.
struct Group {
  int64_t sequence;
  int64_t token;
  int64_t tokens;
};

/// Key rows of a sequence, or of none, in a chunk: items of the second phase.
struct Part {
  int64_t item_begin = 0;
  int64_t sequence = -1;    // -1: none
  int64_t batch = 0;        // of the keys
  int64_t key_begin = 0;    // row of the first key; BSND: of its batch entry
  int64_t keys = 0;         // rows
  int64_t sum_begin = 0;    // the first row's sums
  int64_t group_begin = 0;  // groups of the sequence in this chunk
  int64_t groups = 0;
  bool first = false;  // no chunk before has the sequence
  bool last = false;   // nor any after
};

struct Args {
  attention::Args attend = {};  // of the forward: queries, one source, sequences, sizes, rules
  attention::Heads out_grad = {};
  const float* max = nullptr;  // statistics of the forward, by head
  Tokens max_at = {};
  const float* sum = nullptr;
  Tokens sum_at = {};
  attention::Heads query_grad = {};
  GradRows key_grad = {};
  GradRows value_grad = {};

  // Blocking, chosen by the plan.
  int64_t unit_keys = 64;       // at most kMostUnitKeys
  int64_t units_per_block = 1;  // of a list's block
  int64_t tokens_per_group = 1;
  int64_t groups_per_chunk = 1;
  int64_t units_per_item = 1;  // of the second phase
  int64_t max_units = 0;       // of a sequence
  int64_t entries = 0;         // pairs of a token and a unit that a group has at most
  int64_t sum_rows = 0;        // keys that several chunks see
  const Group* groups = nullptr;
  int64_t group_count = 0;
  const Part* parts = nullptr;
  int64_t part_count = 0;
};

inline constexpr int64_t kMostUnitKeys = 64;
// Query rows whose queries and gradients of outputs are in scratch at a time.
inline constexpr int64_t kBatchRows = 64;

}  // namespace tamis::prim::attention_grad

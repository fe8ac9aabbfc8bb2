// What the kernels of attention take: plain structs of pointers and counts.
//
// A call is a softmax over the keys of one source, or of several one after the other. A source says
// where its rows lie (contiguous, or in pages), in which order they are walked (by position, or by
// a list of blocks) and which of them a query token sees. Strides are in bytes, those of statistics
// and lists in elements.
#pragma once

#include <stdint.h>

#include "prim/attention/block_importance.h"
#include "prim/blocks/elements.h"
#include "prim/call/kernel.h"
#include "prim/call/tokens.h"
#include "prim/formats/kv_row.h"

namespace tamis::prim::attention {

/// Query or output heads.
struct Heads {
  uint8_t* data = nullptr;  // of queries only read; null: none
  Tokens at = {};
  int64_t head_stride = 0;
};

/// Rows of keys or values.
struct Rows {
  const uint8_t* data = nullptr;  // null: none
  int64_t row_stride = 0;
  int64_t head_stride = 0;
  int64_t page_stride = 0;  // of a page, or of a sequence of BSND keys; TND: 0
};

/// Positions that a query token selects: block ids[slot] has positions [id block, (id + 1) block).
/// A negative id ends the list. Blocks beyond the keys that the token sees are skipped.
struct List {
  const int32_t* ids = nullptr;  // null: all positions, in order
  Tokens at = {};
  int64_t head_stride = 0;  // to the ids of the next kv head; 0: all have the same
  int64_t slots = 0;
  int64_t block = 1;
  bool all = false;     // slots are looked at, however few blocks a token sees
  bool shared = false;  // tokens of an item that have the same list are walked together
};

/// The staircase of keys that each stand for `block` tokens, one every `stride` tokens: of `tokens`
/// visible tokens, those keys are seen whose tokens all are. 1 and 1: keys are tokens.
struct Staircase {
  int64_t block = 1;
  int64_t stride = 1;
};

struct Source {
  Rows key = {};
  Rows key_rope = {};                   // or the scales of rows of bytes that have them apart
  Rows value = {};                      // none where it is the first part of key
  const int32_t* page_table = nullptr;  // null: not paged
  int64_t page_size = 0;
  List list = {};
  Staircase staircase = {};
  int64_t window = INT64_MAX;       // the last so many of the keys that a token sees by the rest
  const int32_t* limits = nullptr;  // per query token: only keys before; null: none
  Tokens limits_at = {};
  const uint8_t* hidden = nullptr;  // [token of the sequence, key]: not 0 hides it; null: none
  int64_t hidden_stride = 0;
};

/// Of one source.
struct SequenceKeys {
  int64_t keys = 0;
  int64_t key_begin = 0;     // TND: row of the first key
  int64_t table_offset = 0;  // of this sequence's entries in the page table, where keys are paged
  int64_t first = 0;         // keys before are never seen: padding
  int64_t visible = 0;       // tokens of keys that the first query token sees; may be negative
  int64_t visible_step = 0;  // how many more the next one sees: 1 causal, else 0
};

inline constexpr int64_t kMostSources = 2;

/// Query tokens that share their keys.
struct Sequence {
  int64_t item_begin = 0;  // first work item
  int64_t row_begin = 0;   // first output row, leading dimensions flattened
  int64_t rows = 0;
  int64_t batch = 0;
  int64_t token = 0;     // the first
  bool padding = false;  // sees nothing, and no sink
  SequenceKeys of[kMostSources] = {};
  int64_t blocks = 0;  // that may be selected
};

/// An item cut among workers where items are few. Its heads, a group at a time, have their queries
/// packed in the first phase; its states, which lie one after the other, merged in the third.
struct Cut {
  int64_t item;
  int64_t partial;
  int64_t partials;
};

/// One segment of a cut item's positions: the second phase.
struct Task {
  int64_t cut;
  int64_t segment;
  int64_t partial;  // where its state goes
};

/// Importance of blocks of keys, and the best of them.
struct Selection {
  bool wanted = false;         // indices or scores
  int32_t* indices = nullptr;  // null: not wanted
  Tokens at = {};
  int64_t head_stride = 0;
  int64_t count = 0;
  BlockGeometry geometry = {};
  const uint8_t* forced = nullptr;  // [token of the sequence, block]: not 0 always selects; null:
                                    // none
  int64_t forced_stride = 0;
  bool force_ends = false;   // the first candidate and the last two are always selected
  int64_t block_tokens = 0;  // of a block, where a query token has those blocks as candidates that
                             // hold a token of its staircase; 0: it has all of the sequence
  float* scores = nullptr;   // [kv head][max_blocks], before any is forced; null: not wanted
  Tokens scores_at = {};
  int64_t scores_head_stride = 0;
  const float* max =
      nullptr;  // of the softmax over all keys, by head; null: over those of the call
  Tokens max_at = {};
  const float* sum = nullptr;
  Tokens sum_at = {};
};

struct Args {
  Heads query = {};
  Heads query_rope = {};
  Source sources[kMostSources] = {};
  int64_t source_count = 1;
  const float* sinks = nullptr;  // [head]; null: none
  Heads out = {};
  float* max = nullptr;  // null: not wanted
  Tokens max_at = {};
  float* sum = nullptr;
  Tokens sum_at = {};
  Selection selection = {};

  const Sequence* sequences = nullptr;
  int64_t sequence_count = 0;
  const Cut* cuts = nullptr;
  int64_t cut_count = 0;
  const Task* tasks = nullptr;
  int64_t kv_heads = 1;
  int64_t group = 0;     // query heads per kv head
  int64_t dim = 0;       // of a key's first part
  int64_t rope_dim = 0;  // of its second
  int64_t value_dim = 0;
  float scale = 1;
  Element element = {};  // of queries, keys and values
  Element out_element = {};
  bool value_in_key = false;  // values are the first part of keys
  bool byte_rows = false;     // keys are rows of bytes:
  KvRow kv_row = {};
  // A hidden key's score: -inf; or the lowest finite one, so that a token that sees no key averages
  // the values of all, unless it gives zero.
  float hidden_score = -__builtin_inff();
  bool zero_hidden_rows = false;
  float hidden_max = -__builtin_inff();  // the statistic of a token that sees none of several keys

  bool bf16_pairs = false;    // products are of pairs of bfloat16: values are widened, keys are not
  bool storage = false;       // values are summed in 16-bit integers where they can be
  bool int16_scores = false;  // and scores, where little is lost
  int64_t least_int16_heads = 1;  // of an item, else both are in fp32

  // Blocking, chosen by the plan.
  int64_t key_tile = 64;  // at most kMostKeyTile
  int64_t tokens_per_item = 1;
  int64_t head_block = 0;     // query heads of a group per item
  int64_t head_blocks = 1;    // of a group
  int64_t members = 1;        // kv heads per item; divides kv_heads, at most kMostMembers
  bool ahead = false;         // rows are copied a tile ahead, between products: see call.cc
  bool tokens_first = false;  // items of a kv head follow each other, else those of a token
  bool segmented = false;     // states of segments, not one of all keys
  int64_t max_keys = 0;
  int64_t max_blocks = 0;
  bool keep_scores = false;  // the scores of all keys stay in scratch, else importance computes
                             // them again
};

inline constexpr int64_t kMostKeyTile = 128;
inline constexpr int64_t kMostMembers = 4;
inline constexpr int64_t kValueStrip = 32;  // columns: at least two vectors of any level
// Heads whose queries are packed, and which are merged, by themselves: whole vectors of every
// level.
inline constexpr int64_t kHeadGroup = 16;

}  // namespace tamis::prim::attention

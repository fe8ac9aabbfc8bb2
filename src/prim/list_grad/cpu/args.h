// What the kernels of gradients over lists of single keys take: plain structs of pointers and
// counts.
//
// Every query token has a list of positions that all of its heads see. The first phase is its
// operator's own: an item is a query token, which finds its positions, ascending, each once, and
// leaves for every pair of a position and a head one or two factors. The second phase is the same
// for all: an item is a range of positions times a strip of columns, and adds to the gradients of
// its keys, token after token, factors times rows of the token's heads. So every sum has one owner
// and one order: by position in the first phase; by query token, then head in the second.
//
// Tokens come in chunks, which bounds what is left between the phases; sums of keys that several
// chunks see wait in fp32.
#pragma once

#include "prim/attention_grad/cpu/args.h"
#include "prim/call/scratch.h"

namespace tamis::prim::list_grad {

using attention_grad::GradRows;
using attention_grad::Group;
using attention_grad::Part;

/// Rows of heads that factors multiply, and where the products go.
struct Piece {
  attention::Heads rows;
  int64_t dims = 0;
  int64_t column = 0;  // of a key's sums, the first
  int64_t table = 0;   // of factors
};

/// Columns of a key's sums that are a gradient.
struct Output {
  GradRows rows;
  int64_t dims = 0;
  int64_t column = 0;
};

inline constexpr int64_t kMostPieces = 3;
inline constexpr int64_t kMostOutputs = 3;
inline constexpr int64_t kMostTables = 2;

struct Args {
  attention::Args attend = {};  // queries, one source with a list, sequences, sizes; one kv head
  Piece pieces[kMostPieces] = {};
  int64_t piece_count = 0;
  Output outputs[kMostOutputs] = {};
  int64_t output_count = 0;
  int64_t tables = 1;   // factors of a pair
  int64_t columns = 0;  // of a key's sums

  // Blocking, chosen by the plan.
  int64_t slots = 0;             // positions of a token at most
  int64_t tokens_per_chunk = 1;  // groups are tokens
  int64_t strips = 1;            // of columns
  int64_t sum_rows = 0;          // keys that several chunks see
  const Group* groups = nullptr;
  int64_t group_count = 0;
  const Part* parts = nullptr;
  int64_t part_count = 0;
};

// Keys of a tile of the first phase.
inline constexpr int64_t kTileKeys = 64;
// An item's sums, 768 KiB, stay in the second level of the cache; more positions would read the
// rows of a token's heads less often.
inline constexpr int64_t kRangeKeys = 1024;
inline constexpr int64_t kStripColumns = 192;

namespace {  // inline functions: no level's copy may be merged with another's

inline constexpr int64_t kLine = 16;  // floats

/// Floats between the factors of a position and those of the next.
inline int64_t FactorStride(const Args& a) { return RoundedUp(a.attend.group, kLine); }

/// What a token leaves, in floats.
struct Slot {
  int64_t count;      // int64_t: positions
  int64_t positions;  // int32_t [slots]
  int64_t tables;     // [tables][slots in whole tiles][FactorStride]
  int64_t table_floats;
  int64_t total;

  explicit Slot(const Args& a) {
    ScratchLayout parts;
    count = parts.Take(2);
    positions = parts.Take(a.slots);
    table_floats = Times(RoundedUp(a.slots, kTileKeys), FactorStride(a));
    tables = parts.Take(Times(a.tables, table_floats));
    total = parts.Total();
  }
};

/// What all workers share, in floats.
struct Shared {
  int64_t slots;  // [tokens_per_chunk]
  int64_t sums;   // [strips][sum_rows][kStripColumns]
  int64_t total;

  explicit Shared(const Args& a) {
    ScratchLayout parts;
    slots = parts.Take(Times(Slot(a).total, a.tokens_per_chunk));
    sums = parts.Take(Times(Times(a.strips, a.sum_rows), kStripColumns));
    total = parts.Total();
  }
};

/// What finds a token's positions needs, in floats.
struct ListScratch {
  int64_t unsorted;  // int32_t [slots]
  int64_t counts;    // int32_t [kDigits]
  int64_t repeats;   // [slots in whole tiles]: how often the list names a position
  int64_t total;

  static constexpr int64_t kDigitBits = 11;
  static constexpr int64_t kDigits = int64_t{1} << kDigitBits;

  explicit ListScratch(const Args& a) {
    ScratchLayout parts;
    unsorted = parts.Take(a.slots);
    counts = parts.Take(kDigits);
    repeats = parts.Take(RoundedUp(a.slots, kTileKeys));
    total = parts.Total();
  }
};

/// A worker's of the second phase, in floats.
struct KeyScratch {
  int64_t sums;    // [kRangeKeys][kStripColumns]: of sequences that one chunk holds
  int64_t nobody;  // [kStripColumns]: the row of no key
  int64_t rows;    // [heads][kStripColumns]: of a token
  int64_t total;

  explicit KeyScratch(const Args& a) {
    ScratchLayout parts;
    sums = parts.Take(kRangeKeys * kStripColumns);
    nobody = parts.Take(kStripColumns);
    rows = parts.Take(Times(a.attend.group, kStripColumns));
    total = parts.Total();
  }
};

}  // namespace
}  // namespace tamis::prim::list_grad

// Sequences one after the other, or dealt to pages.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/test_call.h"

namespace tamis::test {

/// Inclusive prefix sums.
std::vector<int64_t> Prefix(const std::vector<int64_t>& lengths);

/// `tokens` slots below `capacity`, most of them distinct, some negative, some twice.
std::vector<int64_t> RandomSlots(int64_t tokens, int64_t capacity, Random* random);

/// A cache whose pages were dealt at random to sequences.
struct Pages {
  /// `spare` pages belong to no sequence.
  Pages(const std::vector<int64_t>& lengths, int64_t page_rows, int64_t spare, Random* random);

  /// Row of a position of sequence b, pages flattened.
  int64_t RowOf(int64_t b, int64_t position) const;
  /// Of every row: whether one of the first `lengths` positions of a sequence lies there.
  std::vector<bool> Holds(const std::vector<int64_t>& lengths) const;

  int64_t page_rows = 0;
  int64_t count = 0;
  int64_t width = 0;           // of the table: an entry more than the longest sequence needs
  std::vector<int64_t> table;  // [sequences, width]; -1 where nothing may be read
};

}  // namespace tamis::test

#include "tests/support/sequences.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"

namespace tamis::test {

std::vector<int64_t> Prefix(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> prefix(lengths.size());
  std::partial_sum(lengths.begin(), lengths.end(), prefix.begin());
  return prefix;
}

std::vector<int64_t> RandomSlots(int64_t tokens, int64_t capacity, Random* random) {
  std::vector<int64_t> slots;
  for (int64_t t = 0; t < tokens; ++t)
    slots.push_back(capacity == 0 || random->Below(6) == 0 ? -1 - random->Below(3)
                                                           : random->Below(capacity));
  return slots;
}

Pages::Pages(const std::vector<int64_t>& lengths, int64_t rows, int64_t spare, Random* random)
    : page_rows(rows), count(spare), width(1) {
  for (int64_t length : lengths) {
    const int64_t needed = base::CeilDiv(length, page_rows);
    count += needed;
    width = std::max(width, needed + 1);
  }
  std::vector<int64_t> pages(static_cast<size_t>(count));
  std::iota(pages.begin(), pages.end(), 0);
  random->Shuffle(&pages);
  table.assign(lengths.size() * static_cast<size_t>(width), -1);
  auto next = pages.begin();
  for (size_t b = 0; b < lengths.size(); ++b) {
    const int64_t needed = base::CeilDiv(lengths[b], page_rows);
    std::copy_n(next, needed, table.begin() + static_cast<int64_t>(b) * width);
    next += needed;
  }
}

int64_t Pages::RowOf(int64_t b, int64_t position) const {
  return table[static_cast<size_t>(b * width + position / page_rows)] * page_rows +
         position % page_rows;
}

std::vector<bool> Pages::Holds(const std::vector<int64_t>& lengths) const {
  std::vector<bool> holds(static_cast<size_t>(count * page_rows));
  for (size_t b = 0; b < lengths.size(); ++b) {
    for (int64_t i = 0; i < lengths[b]; ++i)
      holds[static_cast<size_t>(RowOf(static_cast<int64_t>(b), i))] = true;
  }
  return holds;
}

}  // namespace tamis::test

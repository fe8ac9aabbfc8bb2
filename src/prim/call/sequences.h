// Lists of lengths from outside, checked and turned into (begin, length) pairs.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

struct Span {
  int64_t begin = 0;
  int64_t length = 0;
};

/// Appends where each span ends.
void AddEnds(const std::vector<Span>& spans, std::vector<int64_t>* ends);

/// Inclusive prefix sums: never decreasing, not negative, and the last equals `total` (0 where the
/// list is empty).
Status SpansFromPrefix(std::string_view argument, const IntList& prefix, int64_t total,
                       std::string_view total_name, std::vector<Span>* spans);

/// Lengths: not negative, and their sum equals `total` where total >= 0.
Status SpansFromCounts(std::string_view argument, const IntList& counts, int64_t total,
                       std::string_view total_name, std::vector<Span>* spans);

/// The same, one for each of `batch` rows of a block table.
Status SpansFromCountsOf(int64_t batch, std::string_view argument, const IntList& counts,
                         int64_t total, std::string_view total_name, std::vector<Span>* spans);

}  // namespace tamis::prim

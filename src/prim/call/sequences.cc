#include "prim/call/sequences.h"

#include <string>

#include "base/checked.h"
#include "base/errors.h"

namespace tamis::prim {

void AddEnds(const std::vector<Span>& spans, std::vector<int64_t>* ends) {
  for (const Span& span : spans) ends->push_back(span.begin + span.length);
}

Status SpansFromPrefix(std::string_view argument, const IntList& prefix, int64_t total,
                       std::string_view total_name, std::vector<Span>* spans) {
  spans->clear();
  int64_t end = 0;
  for (int64_t i = 0; i < prefix.size(); ++i) {
    if (prefix[i] < end) {
      return base::Invalid(base::Indexed(argument, i),
                           "prefix sums that never decrease (at least " + std::to_string(end) + ")",
                           prefix[i]);
    }
    spans->push_back({end, prefix[i] - end});
    end = prefix[i];
  }
  if (total >= 0 && end != total) {
    return base::Invalid(
        argument, "a last prefix sum of " + std::string(total_name) + " = " + std::to_string(total),
        end);
  }
  return Status::Ok();
}

Status SpansFromCounts(std::string_view argument, const IntList& counts, int64_t total,
                       std::string_view total_name, std::vector<Span>* spans) {
  spans->clear();
  int64_t end = 0;
  for (int64_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 0)
      return base::Invalid(base::Indexed(argument, i), "a length of at least 0", counts[i]);
    spans->push_back({end, counts[i]});
    if (!base::CheckedAdd(end, counts[i], &end)) {
      return base::Invalid(argument, "lengths whose sum stays below 2^63", "an overflow");
    }
  }
  if (total >= 0 && end != total) {
    return base::Invalid(
        argument, "lengths that sum to " + std::string(total_name) + " = " + std::to_string(total),
        end);
  }
  return Status::Ok();
}

Status SpansFromCountsOf(int64_t batch, std::string_view argument, const IntList& counts,
                         int64_t total, std::string_view total_name, std::vector<Span>* spans) {
  if (counts.size() != batch) {
    return base::Invalid(argument,
                         "one entry per sequence of block_table = " + std::to_string(batch),
                         counts.size());
  }
  return SpansFromCounts(argument, counts, total, total_name, spans);
}

}  // namespace tamis::prim

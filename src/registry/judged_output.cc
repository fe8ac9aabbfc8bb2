#include "registry/judged_output.h"

#include <limits>

namespace tamis::registry {
namespace {

// The rank of an element carries the score's error twice: once in where the list is cut, once in
// the element's own score.
constexpr double kRankErrors = 2;

}  // namespace

std::vector<std::unique_ptr<Judged>> Present(const base::Operator& op, const void* params,
                                             const base::Dims& dims) {
  std::vector<std::unique_ptr<Judged>> outputs;
  size_t index = 0;
  for (const base::Field& field : op.contract->fields) {
    if (!field.is_output()) continue;
    if (!base::Contract::tensor(params, field).absent())
      outputs.push_back(std::make_unique<Judged>(*op.contract, field, index, params, dims));
    ++index;
  }
  return outputs;
}

std::vector<OutputComparison> Report(std::vector<std::unique_ptr<Judged>>* outputs) {
  std::vector<OutputComparison> comparisons;
  for (auto& output : *outputs) {
    OutputComparison& c = output->c;
    c.elements = c.rows * output->got.row_elems();
    c.admitted_mismatches =
        static_cast<int64_t>(output->outliers * static_cast<double>(c.elements));
    output->findings.Report(output->locator, &c);
    comparisons.push_back(std::move(c));
  }
  return comparisons;
}

GoldenElement ElementOf(const base::GoldenOutput& output, size_t slot, int64_t e) {
  const size_t at = slot * static_cast<size_t>(output.row_elems) + static_cast<size_t>(e);
  return {output.value[at], output.bound[at], output.device_bound[at]};
}

const double* RowOf(const base::GoldenOutput& output, size_t slot) {
  return output.value.data() + slot * static_cast<size_t>(output.row_elems);
}

void CompareRanked(const base::GoldenOutput& golden, size_t slot, int64_t row, const double* want,
                   bool expected, Judged* output) {
  std::vector<double> got;
  output->got.Read(row, &got);
  const int64_t size = output->got.list_elems();
  const int64_t lists = size > 0 ? output->got.row_elems() / size : 0;
  const double errors = (expected ? 2 : 1) * kRankErrors;
  const bool exact = output->c.tolerance.kind == Tolerance::Kind::kBits;
  for (int64_t list = 0; list < lists; ++list) {
    const size_t place = slot * static_cast<size_t>(lists) + static_cast<size_t>(list);
    RankedLists ranked;
    ranked.want = want + list * size;
    ranked.got = got.data() + list * size;
    ranked.reference = RowOf(golden, slot) + list * size;
    ranked.size = size;
    ranked.expected = expected;
    ranked.scores = &golden.scores[place];
    ranked.admitted = exact ? -1 : errors * golden.score_bound[place];
    ranked.element = row * output->got.row_elems() + list * size;
    JudgeLists(ranked, &output->findings);
    for (int64_t i = 0; i < size; ++i) {
      output->Difference(ranked.element + i, expected ? ranked.want[i] - ranked.got[i]
                                                      : ranked.got[i] - ranked.want[i]);
    }
  }
}

}  // namespace tamis::registry

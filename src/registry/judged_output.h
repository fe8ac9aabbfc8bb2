// An output while it is compared: what registry/compare.h does with the reference and with results
// from elsewhere alike.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "base/errors.h"
#include "registry/judge.h"

namespace tamis::registry {

/// One output of a call that has run.
struct Judged {
  Judged(const base::Contract& contract, const base::Field& output, size_t index,
         const void* params, const base::Dims& dims)
      : field(&output),
        golden_index(index),
        own_rows(!contract.rows.empty() || output.is_updated()),
        view(base::Contract::tensor(params, output)),
        got(view, contract.RowDimsOf(output, params)),
        locator(contract, output, params, dims),
        findings({view.shape, view.shape + view.rank}, &c.differs) {
    c.output = output.name;
    c.dtype = view.dtype;
    c.shape.assign(view.shape, view.shape + view.rank);
  }

  void Prepare(const CompareOptions& options) {
    c.tolerance = options.tolerances.Of(field->name);
    if (!options.differences) return;
    const auto elems = static_cast<size_t>(got.rows() * got.row_elems());
    c.difference.assign(elems, std::numeric_limits<float>::quiet_NaN());
    c.differs.assign(elems, 0);
  }
  // Rows are of one thread each.
  void Difference(int64_t element, double difference) {
    if (!c.difference.empty())
      c.difference[static_cast<size_t>(element)] = static_cast<float>(difference);
  }

  const base::Field* field;
  size_t golden_index;
  bool own_rows;  // the reference says which of them its rows are about
  TensorView view;
  RowReader got;
  Locator locator;
  OutputComparison c;
  Findings findings;
  double outliers = 0;

  // Results from elsewhere.
  std::unique_ptr<RowReader> want;
  DType want_dtype = DType::kNone;
  std::vector<double> worst;  // per row: largest difference beside the row's size; 0: none
  std::vector<char> judged;   // per row: by the reference
  double most_admitted = 0;   // of the judged rows, roundings aside
  double most_relative = 0;   // and beside their size
  bool complete = false;      // no other row is written
};

/// Outputs of the contract that are there, in its order.
std::vector<std::unique_ptr<Judged>> Present(const base::Operator& op, const void* params,
                                             const base::Dims& dims);

/// What was found, in the same order.
std::vector<OutputComparison> Report(std::vector<std::unique_ptr<Judged>>* outputs);

/// Small enough that the golden values of the largest rows (128 heads x 512) stay below 100 MB.
inline constexpr int64_t kRowsPerReference = 64;

/// Calls visit(golden), which gives a Status, for consecutive parts of `rows`.
template <class Visit>
Status ForGolden(const base::Operator& op, const void* params, const std::vector<int64_t>& rows,
                 int32_t threads, const Progress& progress, Visit&& visit) {
  for (size_t begin = 0; begin < rows.size(); begin += kRowsPerReference) {
    const size_t end = std::min(rows.size(), begin + kRowsPerReference);
    base::Golden golden;
    golden.rows.assign(rows.begin() + static_cast<ptrdiff_t>(begin),
                       rows.begin() + static_cast<ptrdiff_t>(end));
    golden.follow_selection = true;  // the outputs are there
    TAMIS_RETURN_IF_ERROR(op.reference(params, threads, &golden));
    TAMIS_RETURN_IF_ERROR(visit(golden));
    if (progress) progress(static_cast<int64_t>(end), static_cast<int64_t>(rows.size()));
  }
  return Status::Ok();
}

/// One element of a golden row.
struct GoldenElement {
  double value;
  double bound;
  double device_bound;

  // The rounding is that of the value the evaluation found, not of the exact one.
  double Admitted(Tolerance::Kind kind, DType dtype) const {
    const double evaluation = Evaluation(kind);
    return evaluation + base::RoundingBound(dtype, std::fabs(value) + evaluation);
  }
  double Evaluation(Tolerance::Kind kind) const {
    return bound + (kind == Tolerance::Kind::kDevice ? device_bound : 0);
  }
};

GoldenElement ElementOf(const base::GoldenOutput& output, size_t slot, int64_t element);
const double* RowOf(const base::GoldenOutput& output, size_t slot);

/// A row of lists against `want`, by the scores of golden's row `slot`; `expected`: `want` comes
/// from elsewhere, and carries the error of a rank as ours do.
void CompareRanked(const base::GoldenOutput& golden, size_t slot, int64_t row, const double* want,
                   bool expected, Judged* output);

}  // namespace tamis::registry

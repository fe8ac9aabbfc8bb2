// Compares the outputs of a call with the reference, or with results from elsewhere. The command
// line and the conformance tests judge by the same code.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/operator.h"

namespace tamis::registry {

/// |got - want| <= atol + rtol |want|.
struct Tolerance {
  double rtol = 0;
  double atol = 0;
};

/// How one output fared. NaN must meet NaN and an infinity the same infinity. A ranked output (a
/// list of indices, best first) is judged by the reference's scores: indices are distinct, -1
/// stands exactly where it stands in the other list, and where indices differ their scores must not
/// differ by more than an fp32 evaluation can confuse.
struct OutputComparison {
  std::string output;
  DType dtype = DType::kNone;
  int64_t rows = 0;
  int64_t elements = 0;
  int64_t mismatches = 0;
  int64_t admitted_mismatches = 0;  ///< Where the operator's tolerance is a share of elements.
  int64_t swapped = 0;              ///< Ranked: other indices, equally good within the bound.
  double max_error = 0;        ///< Largest absolute error; ranked: largest difference of scores.
  double max_ratio = 0;        ///< Largest error in units of what is admitted.
  std::string first_mismatch;  ///< "row 5, element 17: expected 0.5 within 0.001, got 0.7"

  bool ok() const { return mismatches <= admitted_mismatches; }
};

/// Rows done and rows in all; called now and then from the calling thread.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// Rows (leading dimensions flattened) that the outputs of this call have. Checks the inputs.
Result<int64_t> CountRows(const base::Operator& op, const void* params);

/// `count` rows of `total`, ascending, the same every time: the first, the last, and one from each
/// of equally long stretches between. All rows where count >= total.
std::vector<int64_t> SpreadRows(int64_t total, int64_t count);

/// Runs the reference on `rows` and compares the outputs that are present in `params`, one entry
/// per output in the contract's order. An element may differ by the reference's bound for an fp32
/// evaluation plus the rounding of its dtype, or by `tolerance` where that is given.
Result<std::vector<OutputComparison>> CompareWithReference(
    const base::Operator& op, const void* params, const std::vector<int64_t>& rows, int32_t threads,
    const std::optional<Tolerance>& tolerance = {}, const Progress& progress = {});

/// The project's tolerance between two evaluations of unknown accuracy, by output dtype: fp16 1e-3,
/// bf16 8e-3, fp32 1e-5, relative plus absolute.
Tolerance DefaultTolerance(DType dtype);

/// Results from elsewhere, by output name. Shapes equal the outputs'; a floating output takes any
/// floating dtype, an integer output any integer dtype.
using Expected = std::vector<std::pair<std::string, TensorView>>;

/// Checks names, dtypes and shapes against the call, before anything runs.
Status CheckExpected(const base::Operator& op, const void* params, const Expected& expected);

/// Compares all rows of the outputs that `expected` names, one entry per output in the contract's
/// order. The reference is run on those rows whose ranked indices differ.
Result<std::vector<OutputComparison>> CompareWithExpected(
    const base::Operator& op, const void* params, const Expected& expected, int32_t threads,
    const std::optional<Tolerance>& tolerance = {}, const Progress& progress = {});

}  // namespace tamis::registry

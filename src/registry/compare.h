// Compares the outputs of a call with the reference, or with results from elsewhere. The command
// line and the conformance tests judge by the same code.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/operator.h"
#include "registry/locate.h"

namespace tamis::registry {

/// What an element may be off by.
struct Tolerance {
  enum class Kind {
    kFp32,    ///< The reference's bound for an evaluation in fp32, and the output's rounding.
    kDevice,  ///< And what rounding probabilities to the 16-bit type of the values adds.
    kBits,    ///< Nothing: the same value, the same sign of 0; of a selection, the same indices.
    kNumber   ///< number (1 + |expected|); of a selection as kFp32.
  };
  Kind kind = Kind::kFp32;
  double number = 0;

  std::string text() const;  ///< "fp32", "device", "bits", "0.001"
};

/// By output.
struct Tolerances {
  Tolerance all = {};  ///< Of the outputs that have none of their own.
  std::vector<std::pair<std::string, Tolerance>> own = {};

  const Tolerance& Of(std::string_view output) const;
};

/// An element that differs. Of a selection the values are indices.
struct Mismatch {
  std::vector<int64_t> index;
  double tamis = 0;
  std::optional<double> expected;   ///< Where results from elsewhere were compared.
  std::optional<double> reference;  ///< Absent where a tensor is updated in place by another row.
  double admitted = 0;              ///< Of a selection: difference of scores.
  std::string complaint;            ///< "expected 0.5 within 0.001, got 0.7"
};

/// How one output fared. NaN must meet NaN and an infinity the same infinity. A ranked output (a
/// list of indices, best first) is judged by the reference's scores: indices are distinct, -1
/// stands exactly where it stands in the other list, and where indices differ their scores must not
/// differ by more than an fp32 evaluation can confuse.
struct OutputComparison {
  std::string output;
  DType dtype = DType::kNone;
  Tolerance tolerance;
  int64_t rows = 0;
  int64_t differing_rows = 0;  ///< Of results from elsewhere, where the reference decides.
  int64_t judged_rows = 0;     ///< That the reference was asked for.
  int64_t elements = 0;
  int64_t mismatches = 0;
  int64_t admitted_mismatches = 0;  ///< Where the operator's tolerance is a share of elements.
  int64_t swapped = 0;              ///< Ranked: other indices, equally good within the bound.
  double max_error = 0;         ///< Largest absolute error; ranked: largest difference of scores.
  double max_ratio = 0;         ///< Largest error in units of what is admitted.
  std::vector<Mismatch> first;  ///< The first few, in order.
  std::string where;            ///< Of the first: "sequence 2, token 70, head 2"; may be empty.
  std::string pattern;          ///< Of all: "all 18 channels of head 2, tokens 200 to 202".
  std::string first_mismatch;   ///< "[5, 2, 17] (token 5, head 2): expected 0.5 within 0.001, ..."

  /// If asked for, by element in the output's order. The expected value less Tamis's, or Tamis's
  /// less the reference's, NaN where nothing was compared; and 1 where that is a mismatch.
  std::vector<float> difference;
  std::vector<uint8_t> differs;
  std::vector<int64_t> shape;

  bool ok() const { return mismatches <= admitted_mismatches; }
};

/// Rows done and rows in all; called now and then from the calling thread.
using Progress = std::function<void(int64_t done, int64_t total)>;

struct CompareOptions {
  Tolerances tolerances = {};
  bool differences = false;  ///< Whether they are wanted, element by element.
  Progress progress = {};
};

/// Rows (leading dimensions flattened) that the outputs of this call have. Checks the inputs.
Result<int64_t> CountRows(const base::Operator& op, const void* params);

/// `count` rows of `total`, ascending, the same every time: the first, the last, and one from each
/// of equally long stretches between. All rows where count >= total.
std::vector<int64_t> SpreadRows(int64_t total, int64_t count);

/// Runs the reference on `rows` and compares the outputs that are present in `params`, one entry
/// per output in the contract's order.
Result<std::vector<OutputComparison>> CompareWithReference(const base::Operator& op,
                                                           const void* params,
                                                           const std::vector<int64_t>& rows,
                                                           int32_t threads,
                                                           const CompareOptions& options = {});

/// Results from elsewhere, by output name. Shapes equal the outputs'; a floating output takes any
/// floating dtype, an integer output any integer dtype.
using Expected = std::vector<std::pair<std::string, TensorView>>;

/// Checks names, dtypes and shapes against the call, before anything runs.
Status CheckExpected(const base::Operator& op, const void* params, const Expected& expected);

/// Compares all rows of the outputs that `expected` names, one entry per output in the contract's
/// order. Where values differ, and the tolerance is fp32's or the device's, the reference is run:
/// on all those rows, or on `reference_rows` of them, the worst and others between. It then judges
/// both sides, the expected value by that tolerance and Tamis's by fp32's. Values of other rows are
/// held against each other, within the largest bounds of the judged rows, in relation to the size
/// of the row's values. Of ranked outputs all rows that differ are judged.
Result<std::vector<OutputComparison>> CompareWithExpected(const base::Operator& op,
                                                          const void* params,
                                                          const Expected& expected,
                                                          int64_t reference_rows, int32_t threads,
                                                          const CompareOptions& options);

}  // namespace tamis::registry

// Judging values: the parts of registry/compare.h that know nothing of operators.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "registry/compare.h"

namespace tamis::registry {

/// Elements of a strided tensor by (row, element within the row).
class RowReader {
 public:
  RowReader(const TensorView& view, int row_dims);

  /// That hold an element.
  int64_t rows() const;
  int64_t row_elems() const { return static_cast<int64_t>(offsets_.size()); }
  int64_t list_elems() const { return view_.shape[view_.rank - 1]; }
  void Read(int64_t row, std::vector<double>* values) const;

 private:
  int64_t Offset(int first_dim, int end_dim, int64_t index) const;

  TensorView view_;
  int row_dims_;
  std::vector<int64_t> offsets_;  // of a row's elements from its beginning
};

/// What is found out about an output, or about a part of its rows.
class Findings {
 public:
  /// Elements that differ become 1 in `differs`, where that is not empty.
  Findings(std::vector<int64_t> shape, std::vector<uint8_t>* differs)
      : spread_(std::move(shape)), differs_(differs) {}

  void Error(double error, double ratio);
  void Swap() { ++swapped_; }
  /// `element` of the output in row-major order.
  void Differ(int64_t element, Mismatch mismatch);
  void Merge(const Findings& other);
  /// Counters, the first mismatches, and where they are.
  void Report(const Locator& locator, OutputComparison* c) const;

  const std::vector<Mismatch>& first() const { return first_; }
  std::vector<Mismatch>& first() { return first_; }

 private:
  int64_t swapped_ = 0;
  double max_error_ = 0;
  double max_ratio_ = 0;
  std::vector<Mismatch> first_;  // ascending
  Spread spread_;
  std::vector<uint8_t>* differs_;
};

/// One value held against another.
struct Verdict {
  bool ok = true;
  double error = 0;
  double ratio = 0;  ///< Of what is admitted.
};

/// `want` may be missed by `admitted`; at the edge of its range `dtype` may round to infinity.
Verdict JudgeValue(DType dtype, double want, double admitted, double got);

/// The same value with the same sign, or both NaN.
bool SameBits(double a, double b);

double RoundedTo(DType dtype, double value);

/// "0.707106781"
std::string NumberText(double value);

/// Two lists of `size` indices, best first, by the scores that ranked them; `element` is the first
/// one's, `expected` whether `want` is from elsewhere, `reference` the reference's list.
struct RankedLists {
  const double* want = nullptr;
  const double* got = nullptr;
  const double* reference = nullptr;
  int64_t size = 0;
  bool expected = false;
  const std::vector<double>* scores = nullptr;
  double admitted = 0;  ///< Below 0: only the same indices agree.
  int64_t element = 0;
};
void JudgeLists(const RankedLists& lists, Findings* findings);

}  // namespace tamis::registry

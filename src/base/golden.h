// Golden: what a reference computed, in float64, with the error that an fp32 evaluation may have.
#pragma once

#include <cstdint>
#include <vector>

#include "base/contract.h"

namespace tamis::base {

/// One output of the contract, for the selected rows.
struct GoldenOutput {
  int64_t row_elems = 0;
  /// Which row of the output each selected row is about; -1: none. That is the selected row itself,
  /// except where the contract counts `rows` by themselves: there the reference says which.
  std::vector<int64_t> rows;
  std::vector<double> value;  ///< [rows, row_elems]
  /// Admissible absolute error of an fp32 evaluation, before the output's own rounding. [rows,
  /// row_elems]
  std::vector<double> bound;
  /// What an evaluation adds to it that rounds probabilities to the 16-bit type of the values
  /// before it multiplies them, as the device does. [rows, row_elems]
  std::vector<double> device_bound;
  /// For a ranked output: per list (rows x lists) the score of every candidate, and the scores'
  /// admissible error.
  std::vector<std::vector<double>> scores;
  std::vector<double> score_bound;

  double outliers = 0;  ///< Share of the elements that may miss their bound.

  double* Row(int64_t slot) { return value.data() + slot * row_elems; }
  double* BoundRow(int64_t slot) { return bound.data() + slot * row_elems; }
  double* DeviceBoundRow(int64_t slot) { return device_bound.data() + slot * row_elems; }
};

struct Golden {
  std::vector<int64_t> rows;  ///< Selected rows of the outputs (leading dimensions flattened).
  /// Where an output depends on a selection that another output holds: that selection is taken as
  /// it stands there, and judged by itself. Else the reference reads no output.
  bool follow_selection = false;
  std::vector<GoldenOutput> outputs;  ///< In the order of the contract's output fields.
};

/// Sizes `golden->outputs` for golden->rows.
Status PrepareGolden(const Contract& contract, const void* params, const Dims& dims,
                     Golden* golden);

/// Rounds the values of `golden` into the outputs that are present.
void StoreGolden(const Contract& contract, const void* params, const Golden& golden);

/// Whether any output that this call asks for holds an element. Where none does, there may be more
/// rows than can be counted through.
bool WritesAny(const Contract& contract, const void* params);

/// Rows that the outputs of this call have.
Status CountRows(const Contract& contract, const void* params, const Dims& dims, int64_t* rows);

// Precision families. Every tolerance in the project is one of these.

/// Error of a sum of `terms` fp32 products with absolute values summing to `magnitude`: 8
/// sqrt(terms) u, the bound of Higham and Mary (2019) for rounding errors of mean zero, which fails
/// with probability below 1e-12.
double Fp32SumBound(double terms, double magnitude);

/// Half a unit in the last place of `dtype` at `value`, subnormals included; 0 for integers.
double RoundingBound(DType dtype, double value);

}  // namespace tamis::base

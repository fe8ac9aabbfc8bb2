// Softmax attention of one query head over a list of keys, in float64, with the error that an fp32
// evaluation may have: the specification of the operators that attend over such lists.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "base/golden.h"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// Smaller exponentials may be 0 in fp32: below the normal numbers, and a rounding of the score.
inline constexpr double kLeastExponential = 0x1.1p-126;

/// Elements [offset, offset + count) of a tensor's memory.
std::vector<double> ReferenceElements(const TensorView& view, int64_t offset, int64_t count);

/// What Accuracy::kStorage adds to the error of an output: see there. `weights` are p[k] m[k] of
/// the keys in their order, `tiles` says in which tile each is: runs of equal numbers.
double StorageBound(const std::vector<double>& weights, const std::vector<int64_t>& tiles);

/// m[k] of a value that may be summed in integers; 0 of one that may not.
double StorageMagnitude(const std::vector<double>& value);

/// What Accuracy::kStorage may do.
struct StorageAllowance {
  bool values = false;  // of a tile may be summed in integers
  bool scores = false;  // may be computed in integers
};

struct ReferenceKey {
  std::vector<double> key;
  std::vector<double> value;
  int64_t tile = 0;  // of kernels: keys of equal number side by side share one
};

/// Rounding the probability of a value to `dtype`, times that value. A probability of unnormalised
/// weights, exp(score - the largest so far), carries no more: their sum is at least 1.
double ProbabilityRounding(DType dtype, double probability, double value);

struct ReferenceHead {
  std::vector<double> out, out_bound;
  /// What rounding the probabilities to the 16-bit type of the values adds, as the device does.
  std::vector<double> out_device_bound;
  double max = -std::numeric_limits<double>::infinity();
  double max_bound = 0;
  double sum = 0;
  double sum_bound = 0;
};

/// Softmax over the keys of scale (query . key), and the weighted sum of their values, which have
/// `value_dim` elements. `sink`, where not null, is a score without a value. No key: out 0, max
/// -inf and sum 0, or the sink's. `dtype`, of the query, is that of a device's probabilities.
ReferenceHead AttendReference(const std::vector<double>& query,
                              const std::vector<ReferenceKey>& keys, double scale,
                              const double* sink, int64_t value_dim, DType dtype,
                              StorageAllowance storage = {});

/// Head `head` of row `slot`: outputs 0, attention, 1 and 2, the largest score and the sum.
void PutHead(const ReferenceHead& r, int64_t slot, int64_t head, base::Golden* golden);

}  // namespace tamis::prim

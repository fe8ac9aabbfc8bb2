// Rows of a reference that rounds on its way: every value with how far an fp32 evaluation may be
// from it.
//
// An fp32 evaluation that rounds an intermediate to 16 bits may land on the next value of the type
// where the exact one lies close to the middle between two. `radius` carries this: it grows by the
// error of fp32 sums, becomes the distance of the farthest value of the type that can be reached at
// a rounding, and spreads through products and norms. Errors of the terms of a sum are taken as
// independent and of mean zero, as base::Fp32SumBound takes roundings: each has a deviation s,
// their sum the root of the squares' sum, and an error exceeds 8 s with a probability below 1e-12
// (Hoeffding). The radius is that, or the sum of the terms' radii where it is less.
#pragma once

#include <cstdint>
#include <vector>

#include "base/golden.h"
#include "prim/blocks/linear.h"
#include "tamis/tensor.hpp"

namespace tamis::prim {

struct Estimate {
  double value = 0;
  double radius = 0;
  double deviation = 0;  // at most radius; radius / 8 for a sum of many roundings
};
using EstimateRow = std::vector<Estimate>;

/// A row of a vector [D], or of a token of [T, D] or [B, S1, D]: exact.
EstimateRow ExactRow(const TensorView& vector);
EstimateRow ExactTokenRow(const TensorView& view, bool batched, int64_t token);

/// Elements [begin, begin + count).
EstimateRow Part(const EstimateRow& row, int64_t begin, int64_t count);

/// Puts a row into an output's slot, from element `at` on.
void Put(const EstimateRow& row, int64_t at, size_t slot, base::GoldenOutput* output);

/// Rounds every value to the dtype.
void RoundTo(DType dtype, EstimateRow* row);

/// sum_k x[k] W[k][n] for columns [begin, begin + columns).
EstimateRow LinearEstimate(const EstimateRow& x, const LinearWeight& w, DType dtype, int64_t begin,
                           int64_t columns);

/// x + b, with b exact: one rounding to fp32 more.
EstimateRow SumEstimate(const EstimateRow& x, const EstimateRow& b);

/// x / sqrt(mean(x^2) + epsilon) * gamma
EstimateRow RmsNormEstimate(const EstimateRow& x, const EstimateRow& gamma, double epsilon);

/// (x - mean) / sqrt(variance + epsilon) * gamma + beta
EstimateRow LayerNormEstimate(const EstimateRow& x, const EstimateRow& gamma,
                              const EstimateRow& beta, double epsilon);

/// y = u cos + (-u[half..], u[..half]) sin; u is x, or x with its even elements first.
EstimateRow RopeEstimate(const EstimateRow& x, const EstimateRow& sin, const EstimateRow& cos,
                         bool interleaved);

}  // namespace tamis::prim

#include "prim/references/estimate.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "base/golden.h"
#include "prim/formats/weight.h"

namespace tamis::prim {
namespace {

constexpr double kUnit = 0x1p-24;
constexpr double kDeviations = 8;  // in a radius, see base::Fp32SumBound

double Rounded(DType dtype, double value) {
  float bits = 0;  // room for any dtype
  base::StoreDouble(&bits, dtype, 0, value);
  return base::LoadAsDouble(&bits, dtype, 0);
}

// 1 / sqrt(mean + epsilon), where the mean may be off by `radius`; six roundings with epsilon and
// the products that use it.
struct Scale {
  double value;
  double radius;
};
Scale ScaleOf(double mean, double radius, double epsilon) {
  const double value = 1 / std::sqrt(mean + epsilon);
  const double most = 1 / std::sqrt(std::max(mean - radius, 0.0) + epsilon);
  return {value, std::isfinite(most) ? most - value + 6 * kUnit * most : 0.0};
}

// Mean of the squares, and its error.
Estimate MeanSquare(const EstimateRow& x) {
  const auto terms = static_cast<double>(x.size());
  double sum = 0;
  double errors = 0;
  double squares = 0;
  for (const Estimate& e : x) {
    const double slope = 2 * std::fabs(e.value) + e.radius;
    sum += e.value * e.value;
    errors += slope * e.radius;
    squares += slope * e.deviation * slope * e.deviation;
  }
  errors = std::min(errors, kDeviations * std::sqrt(squares));
  return {sum / terms, (errors + base::Fp32SumBound(terms, sum + errors)) / terms};
}

// The last dimension from `offset` on.
EstimateRow RowAt(const TensorView& view, int64_t offset) {
  EstimateRow row(static_cast<size_t>(view.shape[view.rank - 1]));
  for (size_t i = 0; i < row.size(); ++i)
    row[i].value = base::LoadAsDouble(view.data, view.dtype, offset + static_cast<int64_t>(i));
  return row;
}

}  // namespace

EstimateRow ExactRow(const TensorView& vector) { return RowAt(vector, 0); }

EstimateRow ExactTokenRow(const TensorView& view, bool batched, int64_t token) {
  return RowAt(view, OffsetOf(TokenStridesOf(view, batched), token));
}

EstimateRow Part(const EstimateRow& row, int64_t begin, int64_t count) {
  return {row.begin() + begin, row.begin() + begin + count};
}

void Put(const EstimateRow& row, int64_t at, size_t slot, base::GoldenOutput* output) {
  double* value = output->Row(static_cast<int64_t>(slot)) + at;
  double* bound = output->BoundRow(static_cast<int64_t>(slot)) + at;
  for (const Estimate& e : row) {
    *value++ = e.value;
    *bound++ = e.radius;
  }
}

void RoundTo(DType dtype, EstimateRow* row) {
  for (Estimate& e : *row) {
    const double rounded = Rounded(dtype, e.value);
    const double low = Rounded(dtype, e.value - e.radius);
    const double high = Rounded(dtype, e.value + e.radius);
    const double radius = std::max(rounded - low, high - rounded);
    // Both values move by at most half a unit in the last place.
    const double unit = 2 * base::RoundingBound(dtype, std::fabs(e.value) + e.radius);
    e = {rounded, radius, std::min(radius, e.deviation + unit)};
  }
}

EstimateRow LinearEstimate(const EstimateRow& x, const LinearWeight& w, DType dtype, int64_t begin,
                           int64_t columns) {
  EstimateRow y(static_cast<size_t>(columns));
  const auto terms = static_cast<double>(x.size());
  for (int64_t n = 0; n < columns; ++n) {
    double sum = 0;
    double magnitude = 0;
    double errors = 0;
    double squares = 0;
    for (size_t k = 0; k < x.size(); ++k) {
      const double weight =
          base::LoadAsDouble(w.data, dtype, OffsetOf(w, static_cast<int64_t>(k), begin + n));
      const double deviation = weight * x[k].deviation;
      sum += x[k].value * weight;
      magnitude += std::fabs(x[k].value * weight);
      errors += std::fabs(weight) * x[k].radius;
      squares += deviation * deviation;
    }
    const double bound = base::Fp32SumBound(terms, magnitude + errors);
    const double own = bound / kDeviations;
    // Not std::hypot: glibc gave that a new version in 2.35, and the wheel runs on 2.34.
    const double deviation = std::sqrt(squares + own * own);
    const double radius = std::min(bound + errors, kDeviations * deviation);
    y[static_cast<size_t>(n)] = {sum, radius, std::min(radius, deviation)};
  }
  return y;
}

EstimateRow SumEstimate(const EstimateRow& x, const EstimateRow& b) {
  EstimateRow y = x;
  for (size_t i = 0; i < x.size(); ++i) {
    y[i].value += b[i].value;
    const double rounding = kUnit * (std::fabs(y[i].value) + x[i].radius);
    y[i].radius += rounding;
    y[i].deviation += rounding;
  }
  return y;
}

EstimateRow RmsNormEstimate(const EstimateRow& x, const EstimateRow& gamma, double epsilon) {
  const Estimate mean = MeanSquare(x);
  const Scale scale = ScaleOf(mean.value, mean.radius, epsilon);
  EstimateRow y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double g = std::fabs(gamma[i].value);
    const double size = std::fabs(x[i].value) + x[i].radius;
    y[i] = {x[i].value * scale.value * gamma[i].value,
            g * (x[i].radius * scale.value + size * scale.radius),
            g * (x[i].deviation * scale.value + size * scale.radius / kDeviations)};
  }
  return y;
}

EstimateRow LayerNormEstimate(const EstimateRow& x, const EstimateRow& gamma,
                              const EstimateRow& beta, double epsilon) {
  const auto terms = static_cast<double>(x.size());
  double sum = 0;
  double magnitude = 0;
  double errors = 0;
  double squares = 0;
  for (const Estimate& e : x) {
    sum += e.value;
    magnitude += std::fabs(e.value);
    errors += e.radius;
    squares += e.deviation * e.deviation;
  }
  errors = std::min(errors, kDeviations * std::sqrt(squares));
  const double mean = sum / terms;
  const double mean_radius = (errors + base::Fp32SumBound(terms, magnitude + errors)) / terms;
  EstimateRow centred(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double d = x[i].value - mean;
    const double common = mean_radius + kUnit * std::fabs(d);
    centred[i] = {d, x[i].radius + common, x[i].deviation + common / kDeviations};
  }
  EstimateRow y = RmsNormEstimate(centred, gamma, epsilon);
  for (size_t i = 0; i < x.size(); ++i) {
    y[i].value += beta[i].value;
    y[i].radius += kUnit * std::fabs(y[i].value);
    y[i].deviation += kUnit * std::fabs(y[i].value);
  }
  return y;
}

EstimateRow RopeEstimate(const EstimateRow& x, const EstimateRow& sin, const EstimateRow& cos,
                         bool interleaved) {
  const size_t half = x.size() / 2;
  EstimateRow y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const auto u = [&](size_t c) {
      if (!interleaved) return x[c];
      return c < half ? x[2 * c] : x[2 * (c - half) + 1];
    };
    const Estimate own = u(i);
    const Estimate other = i < half ? u(i + half) : u(i - half);
    const double sign = i < half ? -1 : 1;
    const double c = cos[i].value;
    const double s = sin[i].value;
    const double roundings = 2 * kUnit * (std::fabs(own.value * c) + std::fabs(other.value * s));
    y[i] = {own.value * c + sign * other.value * s,
            std::fabs(c) * own.radius + std::fabs(s) * other.radius + roundings,
            std::fabs(c) * own.deviation + std::fabs(s) * other.deviation + roundings};
  }
  return y;
}

}  // namespace tamis::prim

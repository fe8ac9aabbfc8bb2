#include "prim/references/attention_reference.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"

namespace tamis::prim {
namespace {

// How far the score of a query and a key of these norms and `dims` may be off that
// Accuracy::kStorage computes in integers: see there.
double StorageScoreBound(double query, double key, int64_t dims, double scale) {
  // A step is at most the row's norm / 2^14; of the roundings of a row, half a step each, the norm
  // is half a step times the root of their number.
  const double query_step = query * 0x1p-14;
  const double key_step = key * 0x1p-14;
  const auto d = static_cast<double>(dims);
  const double factor = std::fabs(scale);
  const double first = factor * std::sqrt(d) / 2 * (query * key_step + key * query_step);
  const double second = factor * d / 4 * query_step * key_step;
  // Integers are not used where sqrt(a^2 + b^2) > 1e-3 sqrt(12), a and b being the terms of
  // `first` without sqrt(d) / 2.
  const double most = 1e-3 * std::sqrt(12.0);
  return std::min(first, std::sqrt(d / 2) * most) + std::min(second, d * most * 0x1p-16);
}

}  // namespace

std::vector<double> ReferenceElements(const TensorView& view, int64_t offset, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  for (int64_t c = 0; c < count; ++c)
    values[static_cast<size_t>(c)] = base::LoadAsDouble(view.data, view.dtype, offset + c);
  return values;
}

double StorageBound(const std::vector<double>& weights, const std::vector<int64_t>& tiles) {
  double bound = 0;
  size_t end = 0;
  for (size_t begin = 0; begin < weights.size(); begin = end) {
    double most = 0;
    double sum = 0;
    for (; end < weights.size() && tiles[end] == tiles[begin]; ++end) {
      most = std::max(most, weights[end]);
      sum += weights[end];
    }
    bound += 0x1p-15 * sum + static_cast<double>(end - begin) * std::max(most / 32767, sum / 65280);
  }
  return bound;
}

double StorageMagnitude(const std::vector<double>& value) {
  double most = 0;
  for (const double x : value) {
    if (!(std::fabs(x) <= 0x1p30)) return 0;
    most = std::max(most, std::fabs(x));
  }
  return most < 0x1p-30 ? 0 : most;
}

double ProbabilityRounding(DType dtype, double probability, double value) {
  return std::min(base::RoundingBound(dtype, probability), probability) * std::fabs(value);
}

ReferenceHead AttendReference(const std::vector<double>& query,
                              const std::vector<ReferenceKey>& keys, double scale,
                              const double* sink, int64_t value_dim, DType dtype,
                              StorageAllowance storage) {
  ReferenceHead r;
  r.out.assign(static_cast<size_t>(value_dim), 0.0);
  r.out_bound = r.out_device_bound = r.out;
  const auto factor = static_cast<double>(static_cast<float>(scale));  // as kernels have it
  std::vector<double> score(keys.size());
  double magnitude = 0;
  double score_error = 0;  // of integers
  double query_square = 0;
  for (const double x : query) query_square += x * x;
  for (size_t j = 0; j < keys.size(); ++j) {
    double dot = 0;
    double absolute = 0;
    double key_square = 0;
    for (size_t c = 0; c < query.size(); ++c) {
      dot += query[c] * keys[j].key[c];
      key_square += keys[j].key[c] * keys[j].key[c];
      absolute += std::fabs(query[c] * keys[j].key[c]);
    }
    score[j] = factor * dot;
    magnitude = std::max(magnitude, std::fabs(factor) * absolute);
    if (storage.scores) {
      const double bound = StorageScoreBound(std::sqrt(query_square), std::sqrt(key_square),
                                             static_cast<int64_t>(query.size()), factor);
      score_error = std::max(score_error, bound);
    }
    r.max = std::max(r.max, score[j]);
  }
  if (sink != nullptr) r.max = std::max(r.max, *sink);
  for (double& s : score) {
    s = std::exp(s - r.max);
    r.sum += s;
  }
  if (sink != nullptr) r.sum += keys.empty() ? 1 : std::exp(*sink - r.max);
  if (std::isnan(r.sum)) r.max = r.sum;  // NaN or an infinity among the scores

  // A score carries the error of a dot product and of the scaling. e = exp(score - max) carries two
  // of those and the exponential's 2 ulp, the sum as much again; tiles and segments are rescaled,
  // which costs a few roundings each.
  const auto terms = static_cast<double>(keys.size() + 1);
  r.max_bound =
      base::Fp32SumBound(static_cast<double>(query.size()), magnitude) + 0x1p-23 * magnitude;
  const double relative = 4 * r.max_bound + 16 * 0x1p-24 + 2 * base::Fp32SumBound(terms, 1);
  r.sum_bound = r.sum * relative;
  double storage_bound = 0;
  if (storage.values) {
    std::vector<double> weights(keys.size());
    std::vector<int64_t> tiles(keys.size());
    for (size_t j = 0; j < keys.size(); ++j) {
      weights[j] = score[j] / r.sum * StorageMagnitude(keys[j].value);
      tiles[j] = keys[j].tile;
    }
    storage_bound = StorageBound(weights, tiles);
  }
  // Keys in the outer loop: each value is read where it lies, and every sum keeps the order of
  // keys.
  std::vector<double> absolute(r.out.size());
  std::vector<double> lost(r.out.size());  // with exponentials that are 0 in fp32
  for (size_t j = 0; j < keys.size(); ++j) {
    const double probability = score[j] / r.sum;
    const double rounding = ProbabilityRounding(dtype, probability, 1);
    const double vanishing = std::min(kLeastExponential, score[j]) / r.sum;
    for (size_t c = 0; c < r.out.size(); ++c) {
      const double value = keys[j].value[c];
      const double size = std::fabs(value);
      r.out[c] += probability * value;
      absolute[c] += std::fabs(probability * value);
      r.out_device_bound[c] += rounding * size;
      lost[c] += vanishing * size;
    }
  }
  for (size_t c = 0; c < r.out.size() && !keys.empty(); ++c) {
    // Every weight e and their sum are off by exp(+-score_error) at most.
    r.out_bound[c] = absolute[c] * (relative + std::expm1(2 * score_error)) +
                     base::Fp32SumBound(terms, absolute[c]) + lost[c] + storage_bound;
  }
  return r;
}

void PutHead(const ReferenceHead& r, int64_t slot, int64_t head, base::Golden* golden) {
  base::GoldenOutput& out = golden->outputs[0];
  base::GoldenOutput& max = golden->outputs[1];
  base::GoldenOutput& sum = golden->outputs[2];
  const int64_t first = head * static_cast<int64_t>(r.out.size());
  std::copy(r.out.begin(), r.out.end(), out.Row(slot) + first);
  std::copy(r.out_bound.begin(), r.out_bound.end(), out.BoundRow(slot) + first);
  std::copy(r.out_device_bound.begin(), r.out_device_bound.end(), out.DeviceBoundRow(slot) + first);
  max.Row(slot)[head] = r.max;
  max.BoundRow(slot)[head] = r.max_bound;
  sum.Row(slot)[head] = r.sum;
  sum.BoundRow(slot)[head] = r.sum_bound;
}

}  // namespace tamis::prim

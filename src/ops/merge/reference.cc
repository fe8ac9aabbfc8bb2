// The specifications, in float64 and obvious loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "ops/merge/problem.h"

namespace tamis {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = 0x1p-24;        // of fp32
constexpr double kUnderflow = 0x1p-126;  // what an fp32 exponential may lose

double At(const TensorView& view, int64_t i, int64_t j, int64_t k, int64_t l) {
  return base::LoadAsDouble(view.data, view.dtype,
                            i * view.strides[0] + j * view.strides[1] + k * view.strides[2] + l);
}

double At(const TensorView& view, int64_t i, int64_t j, int64_t k) {
  return base::LoadAsDouble(view.data, view.dtype, i * view.strides[0] + j * view.strides[1] + k);
}

// One row of merge_attention_states: the parts that are not empty.
struct Parts {
  std::vector<int64_t> index;
  std::vector<double> weight;  // normalised
  std::vector<double> error;   // of the weight, relative
  std::vector<double> lost;    // of the weight, absolute: what underflow takes
  double max = -kInfinity;
  double sum = 0;
  double sum_bound = 0;
};

// e = exp(max_r - m) in fp32: the difference is rounded once, the exponential errs by less than 2
// ulp = 4 units, the product with the sum is rounded once, and so is the quotient.
Parts Weigh(const merge_attention_states::Params& in, int64_t parts_given, int64_t token,
            int64_t head) {
  Parts parts;
  for (int64_t r = 0; r < parts_given; ++r) {
    const double max = At(in.softmax_maxes, r, token, head);
    const double sum = At(in.softmax_sums, r, token, head);
    if (max == -kInfinity || sum <= 0) continue;
    parts.index.push_back(r);
    if (!std::isnan(parts.max) && !(max <= parts.max)) parts.max = max;
  }
  double relative = 0;  // error of the sum, times the sum
  double lost = 0;
  for (const int64_t r : parts.index) {
    const double distance = At(in.softmax_maxes, r, token, head) - parts.max;
    const double sum = At(in.softmax_sums, r, token, head);
    parts.weight.push_back(sum * std::exp(distance));
    parts.error.push_back((std::fabs(distance) + 5) * kUnit);
    parts.lost.push_back(sum * kUnderflow);
    parts.sum += parts.weight.back();
    relative += parts.weight.back() * parts.error.back();
    lost += parts.lost.back();
  }
  const double rounding = base::Fp32SumBound(static_cast<double>(parts.index.size()), parts.sum);
  parts.sum_bound = relative + lost + rounding;
  for (size_t i = 0; i < parts.index.size(); ++i) {
    parts.weight[i] /= parts.sum;
    if (parts.weight[i] < kUnderflow) parts.weight[i] = kUnderflow;  // 0 times inf would be NaN
    parts.error[i] += (relative + rounding) / parts.sum + kUnit;
    parts.lost[i] = (parts.lost[i] + lost) / parts.sum + kUnderflow;
  }
  return parts;
}

}  // namespace

void merge_attention_states::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row,
                                                size_t slot, base::Golden* golden) {
  const auto place = static_cast<int64_t>(slot);
  for (int64_t head = 0; head < p.heads; ++head) {
    const Parts parts = Weigh(in, p.parts, row, head);
    golden->outputs[1].Row(place)[head] = parts.max;
    golden->outputs[2].Row(place)[head] = parts.sum;
    golden->outputs[2].BoundRow(place)[head] = parts.sum_bound;
    double* out = golden->outputs[0].Row(place) + head * p.dim;
    double* bound = golden->outputs[0].BoundRow(place) + head * p.dim;
    for (int64_t c = 0; c < p.dim; ++c) {
      double absolute = 0;
      for (size_t i = 0; i < parts.index.size(); ++i) {
        const double x = At(in.outs, parts.index[i], row, head, c);
        const double term = parts.weight[i] * x;
        out[c] = i == 0 ? term : out[c] + term;
        absolute += std::fabs(term);
        bound[c] += std::fabs(term) * parts.error[i] + std::fabs(x) * parts.lost[i];
      }
      bound[c] += base::Fp32SumBound(static_cast<double>(parts.index.size()), absolute);
    }
  }
}

void merge_topk::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                                    base::Golden* golden) {
  std::vector<std::pair<double, double>> entries;  // value, index
  for (int64_t part = 0; part < p.parts; ++part) {
    for (int64_t i = 0; i < p.entries; ++i) {
      const double index = At(in.indices, part, row, i);
      if (index >= 0) entries.emplace_back(At(in.values, part, row, i), index);
    }
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    if (std::isnan(a.first) != std::isnan(b.first)) return std::isnan(b.first);
    if (!std::isnan(a.first) && a.first != b.first) return a.first > b.first;
    return a.second < b.second;
  });
  double* indices = golden->outputs[0].Row(static_cast<int64_t>(slot));
  double* values = golden->outputs[1].Row(static_cast<int64_t>(slot));
  for (size_t i = 0; i < static_cast<size_t>(p.sparse_count); ++i) {
    indices[i] = i < entries.size() ? entries[i].second : -1.0;
    values[i] = i < entries.size() ? entries[i].first : -kInfinity;
  }
}

void localize_indices::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row,
                                          size_t slot, base::Golden* golden) {
  const auto* ids = static_cast<const int32_t*>(in.indices.data) + row * in.indices.strides[0];
  double* out = golden->outputs[0].Row(static_cast<int64_t>(slot));
  int64_t count = 0;
  for (int64_t i = 0; i < p.entries; ++i) {
    const int64_t position = ids[i];
    if (position < 0) break;
    const int64_t owner = position / p.interleave % p.world;
    if (owner < p.rank || owner - p.rank >= p.ranks) continue;
    const int64_t round = position / p.interleave / p.world;
    out[count++] = static_cast<double>((round * p.ranks + owner - p.rank) * p.interleave +
                                       position % p.interleave);
  }
  for (int64_t i = count; i < p.entries; ++i) out[i] = -1.0;
  golden->outputs[1].Row(static_cast<int64_t>(slot))[0] = static_cast<double>(count);
}

// The formula as it stands. A float64 that is not exact is above 2^53, where no place is and no
// position is wanted.
void globalize_indices::Room::ReferenceRow(const Problem& p, const Params& in, int64_t row,
                                           size_t slot, base::Golden* golden) {
  const auto* places = static_cast<const int32_t*>(in.indices.data) + row * in.indices.strides[0];
  double* out = golden->outputs[0].Row(static_cast<int64_t>(slot));
  const auto interleave = static_cast<double>(p.interleave);
  const double held = interleave * static_cast<double>(p.ranks);   // of a round, by the holder
  const double dealt = interleave * static_cast<double>(p.world);  // of a round, by all
  const double first = interleave * static_cast<double>(p.rank);
  for (int64_t i = 0; i < p.entries; ++i) {
    const double place = places[i];
    const double position = std::floor(place / held) * dealt + first + std::fmod(place, held);
    out[i] = place >= 0 && position < 0x1p31 ? position : -1.0;
  }
}

}  // namespace tamis

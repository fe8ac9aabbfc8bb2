// The specification: score[j] = sum_g weights[g] relu(query[g] . key[j]) over the visible keys, in
// float64, ordered by score and position.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/dtype.h"
#include "ops/lightning_indexer/problem.h"
#include "prim/references/attention_reference.h"

namespace tamis::lightning_indexer {
namespace {

double Element(const TensorView& view, int64_t offset) {
  return base::LoadAsDouble(view.data, view.dtype, offset);
}

double Relu(double x) { return x < 0 ? 0 : x; }  // NaN stays NaN

}  // namespace

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const auto next =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& s) { return row < s.row_begin + s.rows; });
  const prim::TokenSequence& s = *next;
  const int64_t token = row - s.row_begin;
  const int64_t query = p.TokenOffset(in.query, s, token);
  const int64_t weights = p.TokenOffset(in.weights, s, token);
  std::vector<std::vector<double>> queries;
  for (int64_t g = 0; g < p.heads; ++g)
    queries.push_back(prim::ReferenceElements(in.query, query + g * p.HeadStride(in.query), p.dim));

  // By position; those before the first key are none to select.
  const int64_t end = p.End(s, token, p.causal, in.key_limits);
  std::vector<double> scores(static_cast<size_t>(end), -std::numeric_limits<double>::infinity());
  double bound = 0;
  for (int64_t position = s.first; position < end; ++position) {
    const auto j = static_cast<size_t>(position);
    scores[j] = 0;
    const std::vector<double> key =
        prim::ReferenceElements(in.key, p.KeyOffset(in.key, s, position), p.dim);
    double magnitude = 0;
    double dot_bound = 0;
    for (int64_t g = 0; g < p.heads; ++g) {
      double dot = 0;
      double absolute = 0;
      for (size_t c = 0; c < key.size(); ++c) {
        const double term = queries[static_cast<size_t>(g)][c] * key[c];
        dot += term;
        absolute += std::fabs(term);
      }
      const double weight = Element(in.weights, weights + g);
      scores[j] += weight * Relu(dot);
      magnitude += std::fabs(weight) * Relu(dot);
      dot_bound += std::fabs(weight) * base::Fp32SumBound(static_cast<double>(p.dim), absolute);
    }
    const double score_bound =
        dot_bound + base::Fp32SumBound(static_cast<double>(p.heads), magnitude);
    if (!(score_bound <= bound)) bound = std::isnan(score_bound) ? bound : score_bound;
  }

  std::vector<size_t> order(static_cast<size_t>(end - s.first));
  std::iota(order.begin(), order.end(), static_cast<size_t>(s.first));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (std::isnan(scores[a]) || std::isnan(scores[b]))
      return !std::isnan(scores[a]) && std::isnan(scores[b]);
    return scores[a] > scores[b];
  });
  double* indices = golden->outputs[0].Row(static_cast<int64_t>(slot));
  double* values = golden->outputs[1].Row(static_cast<int64_t>(slot));
  double* value_bounds = golden->outputs[1].BoundRow(static_cast<int64_t>(slot));
  for (int64_t i = 0; i < p.sparse_count; ++i) {
    const bool valid = i < static_cast<int64_t>(order.size());
    indices[i] = valid ? static_cast<double>(order[static_cast<size_t>(i)]) : -1.0;
    values[i] =
        valid ? scores[order[static_cast<size_t>(i)]] : -std::numeric_limits<double>::infinity();
    value_bounds[i] = 2 * bound;  // another key, equally good within the bound, may stand here
  }
  golden->outputs[0].scores[slot] = std::move(scores);
  golden->outputs[0].score_bound[slot] = bound;
}

}  // namespace tamis::lightning_indexer

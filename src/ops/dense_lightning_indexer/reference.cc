// The specification: I[j] = sum_g weights[g] relu(query[g] . key[j]) over the visible keys in
// float64, its largest, and the sum of exp(I - largest).
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "ops/dense_lightning_indexer/problem.h"
#include "prim/references/attention_reference.h"

namespace tamis::dense_lightning_indexer {
namespace {

double Relu(double x) { return x < 0 ? 0 : x; }  // NaN stays NaN

}  // namespace

ReferenceScores::Product Dot(const std::vector<double>& a, const std::vector<double>& b) {
  ReferenceScores::Product p;
  double magnitude = 0;
  for (size_t c = 0; c < a.size(); ++c) {
    p.value += a[c] * b[c];
    magnitude += std::fabs(a[c] * b[c]);
  }
  p.error = base::Fp32SumBound(static_cast<double>(a.size()), magnitude);
  return p;
}

ReferenceScores ScoresOf(const Sizes& p, const ScoreTensors& in, const prim::TokenSequence& s,
                         int64_t token, int64_t keys) {
  const int64_t query = p.TokenOffset(in.query, s, token);
  std::vector<std::vector<double>> queries;
  for (int64_t g = 0; g < p.index_heads; ++g)
    queries.push_back(
        prim::ReferenceElements(in.query, query + g * p.HeadStride(in.query), p.index_dim));
  const std::vector<double> weights =
      prim::ReferenceElements(in.weights, p.TokenOffset(in.weights, s, token), p.index_heads);
  ReferenceScores scores;
  for (int64_t j = 0; j < keys; ++j) {
    const std::vector<double> key =
        prim::ReferenceElements(in.key, p.KeyOffset(in.key, s, j), p.index_dim);
    double value = 0;
    double magnitude = 0;
    double error = 0;
    for (size_t g = 0; g < queries.size(); ++g) {
      const ReferenceScores::Product product = Dot(queries[g], key);
      scores.products.push_back(product);
      value += weights[g] * Relu(product.value);
      magnitude += std::fabs(weights[g]) * Relu(product.value);
      error += std::fabs(weights[g]) * product.error;
    }
    scores.values.push_back(value);
    scores.errors.push_back(error +
                            base::Fp32SumBound(static_cast<double>(queries.size()), magnitude));
  }
  return scores;
}

}  // namespace tamis::dense_lightning_indexer

namespace tamis::dense_lightning_indexer_softmax_lse {

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const auto s =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& of) { return row < of.row_begin + of.rows; });
  const int64_t token = row - s->row_begin;
  const int64_t keys = p.End(*s, token, p.causal, TensorView());
  const dense_lightning_indexer::ReferenceScores scores =
      ScoresOf(p, {in.query_index, in.key_index, in.weights}, *s, token, keys);
  double max = -std::numeric_limits<double>::infinity();
  double max_error = 0;
  for (size_t j = 0; j < scores.values.size(); ++j) {
    max = std::max(max, scores.values[j]);
    max_error = std::max(max_error, scores.errors[j]);
  }
  double sum = 0;
  double sum_error = 0;
  for (size_t j = 0; j < scores.values.size(); ++j) {
    const double e = std::exp(scores.values[j] - max);
    sum += e;
    sum_error +=
        e * std::expm1(scores.errors[j] + max_error) + std::min(prim::kLeastExponential, e);
  }
  if (std::isnan(sum)) max = sum;  // NaN or an infinity among the scores
  // Exponentials have 2 ulp; tiles are rescaled, which costs a few roundings each.
  const auto terms = static_cast<double>(keys);
  const auto at = static_cast<int64_t>(slot);
  *golden->outputs[0].Row(at) = max;
  *golden->outputs[0].BoundRow(at) = max_error;
  *golden->outputs[1].Row(at) = sum;
  *golden->outputs[1].BoundRow(at) =
      sum_error + sum * (16 * 0x1p-24 + 2 * base::Fp32SumBound(terms, 1));
}

}  // namespace tamis::dense_lightning_indexer_softmax_lse

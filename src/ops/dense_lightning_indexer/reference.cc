// The specification: I[j] = sum_g weights[g] relu(query[g] . key[j]) over the visible keys in
// float64, its largest, and the sum of exp(I - largest).
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "ops/dense_lightning_indexer/problem.h"
#include "prim/references/attention_reference.h"

namespace tamis::dense_lightning_indexer_softmax_lse {

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const auto s =
      std::find_if(p.sequences.begin(), p.sequences.end(),
                   [&](const prim::TokenSequence& of) { return row < of.row_begin + of.rows; });
  const int64_t token = row - s->row_begin;
  const int64_t keys = p.End(*s, token, p.causal, TensorView());
  std::vector<int64_t> positions(static_cast<size_t>(keys));
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<prim::Number> scores =
      ScoresOf(p, dense_lightning_indexer::ReferenceScores(p, in), *s, token, positions).values;
  double max = -std::numeric_limits<double>::infinity();
  double max_error = 0;
  for (const prim::Number& score : scores) {
    max = std::max(max, score.value);
    max_error = std::max(max_error, score.error);
  }
  double sum = 0;
  double sum_error = 0;
  for (const prim::Number& score : scores) {
    const double e = std::exp(score.value - max);
    sum += e;
    sum_error += e * std::expm1(score.error + max_error) + std::min(prim::kLeastExponential, e);
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

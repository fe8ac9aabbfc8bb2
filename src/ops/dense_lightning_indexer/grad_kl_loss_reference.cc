// The specification of the loss and its gradients, in float64.
#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "ops/dense_lightning_indexer/grad_kl_loss_problem.h"
#include "prim/references/attention_reference.h"

namespace tamis::dense_lightning_indexer_grad_kl_loss {
namespace {

using dense_lightning_indexer::ReferenceScores;
using dense_lightning_indexer::ScoresOf;

constexpr double kRounding = 0x1p-24;
constexpr double kLeastProbability = 1e-8;
// Statistics that are not of these scores may make any number of a probability. From here on sums
// may leave fp32, and infinities of both signs meet: an evaluation in fp32 may give anything.
constexpr double kMostProbability = 0x1p64;
constexpr double kUnbounded = 1e200;

double NumberOf(const Problem& p, const TensorView& view, const prim::TokenSequence& s,
                int64_t token, int64_t head = 0) {
  return base::LoadAsDouble(view.data, view.dtype, p.TokenOffset(view, s, token) + head);
}

double Clamped(double x) { return x < kLeastProbability ? kLeastProbability : x; }

// exp(score - max) / sum, and what an error of the score makes of it.
void Exponential(double score, double score_error, double max, double sum, double* value,
                 double* error) {
  const double exponent = score - max;
  *value = std::exp(exponent) / sum;
  const double moved = score_error + kRounding * (2 * std::fabs(score) + std::fabs(exponent));
  *error = std::fabs(*value) * (std::expm1(moved) + 16 * kRounding) +
           std::min(prim::kLeastExponential, std::exp(exponent)) / std::fabs(sum);
  if (std::fabs(*value) > kMostProbability) *error = kUnbounded;
}

// A sum of terms, each with an error of its own, that fp32 adds up.
struct Sum {
  double value = 0;
  double magnitude = 0;
  double error = 0;
  double terms = 0;

  void Add(double factor, double factor_error, double x, double x_error = 0) {
    ++terms;
    value += factor * x;
    magnitude += std::fabs(factor * x);
    error += factor_error >= kUnbounded
                 ? kUnbounded
                 : factor_error * (std::fabs(x) + x_error) + std::fabs(factor) * x_error;
  }
  double bound() const { return error + base::Fp32SumBound(terms, magnitude); }
  void Put(int64_t at, size_t slot, base::GoldenOutput* output) const {
    output->Row(static_cast<int64_t>(slot))[at] = value;
    output->BoundRow(static_cast<int64_t>(slot))[at] = bound();
  }
};

// dS of a score's gradient. Where the sign of S is not sure, it may be 0 or not.
Sum ScoreGrad(double grad, double grad_error, double weight,
              const ReferenceScores::Product& product) {
  Sum sum;
  const bool positive = product.value > 0;
  sum.value = positive ? grad * weight : 0;
  sum.error = positive ? grad_error * std::fabs(weight) + kRounding * std::fabs(grad * weight) : 0;
  if (std::fabs(product.value) <= product.error && product.error > 0)
    sum.error = (std::fabs(grad) + grad_error) * std::fabs(weight);
  if (grad_error >= kUnbounded) sum.error = kUnbounded;
  return sum;
}

}  // namespace

// Of a query token: over its keys, and the loss.
struct Reference::Row {
  ReferenceScores scores;
  std::vector<Number> score_grads;
  Number loss;
};

Reference::Number Reference::ProbabilityOf(const prim::TokenSequence& s, int64_t token,
                                           int64_t position) const {
  const auto scale = static_cast<double>(static_cast<float>(p_.scale));  // as kernels have it
  Sum sum;
  for (int64_t h = 0; h < p_.heads(); ++h) {
    double score = 0;
    double magnitude = 0;
    const auto add = [&](const TensorView& query, const TensorView& key, int64_t dim) {
      const std::vector<double> q = prim::ReferenceElements(
          query, p_.TokenOffset(query, s, token) + h * p_.HeadStride(query), dim);
      const std::vector<double> k = prim::ReferenceElements(
          key, p_.KeyOffset(key, s, position) + h / p_.group * p_.HeadStride(key), dim);
      for (size_t c = 0; c < q.size(); ++c) {
        score += q[c] * k[c];
        magnitude += std::fabs(q[c] * k[c]);
      }
    };
    add(in_.query, in_.key, p_.dim);
    if (!in_.query_rope.absent()) add(in_.query_rope, in_.key_rope, p_.rope_dim);
    const double error =
        std::fabs(scale) * base::Fp32SumBound(static_cast<double>(p_.dim + p_.rope_dim), magnitude);
    Number of;
    Exponential(scale * score, error, NumberOf(p_, in_.softmax_max, s, token, h),
                NumberOf(p_, in_.softmax_sum, s, token, h), &of.value, &of.error);
    sum.Add(of.value, of.error, 1);
  }
  const auto heads = static_cast<double>(p_.heads());
  const double value = sum.value / heads;
  return {value, sum.error >= kUnbounded ? kUnbounded
                                         : sum.bound() / heads + 2 * kRounding * std::fabs(value)};
}

Reference::Row Reference::RowOf(int64_t query_row) const {
  Row row;
  const prim::TokenSequence& s = SequenceOf(query_row);
  const int64_t token = query_row - s.row_begin;
  const int64_t keys = p_.End(s, token, p_.causal, TensorView());
  const double scale = in_.row_scale.absent() ? 1 : NumberOf(p_, in_.row_scale, s, token);
  if (keys == 0 || scale == 0) return row;
  row.scores = ScoresOf(p_, {in_.query_index, in_.key_index, in_.weights}, s, token, keys);
  Sum loss;
  for (int64_t j = 0; j < keys; ++j) {
    const auto at = static_cast<size_t>(j);
    const Number p = ProbabilityOf(s, token, j);
    Number q;
    Exponential(row.scores.values[at], row.scores.errors[at],
                NumberOf(p_, in_.softmax_max_index, s, token),
                NumberOf(p_, in_.softmax_sum_index, s, token), &q.value, &q.error);
    const bool bounded = p.error < kUnbounded && q.error < kUnbounded;
    const double grad = scale * (q.value - p.value);
    row.score_grads.push_back(
        {grad, bounded ? std::fabs(scale) * (p.error + q.error) + 2 * kRounding * std::fabs(grad)
                       : kUnbounded});
    // Either probability moves by its error; the quotient and its logarithm are rounded.
    const double distance = std::log(Clamped(p.value) / Clamped(q.value));
    const auto moved = [](const Number& of) {
      return std::log(Clamped(of.value + of.error) / Clamped(of.value - of.error));
    };
    const double error =
        bounded ? moved(p) + moved(q) + 8 * kRounding * (1 + std::fabs(distance)) : kUnbounded;
    loss.Add(distance, error, p.value, p.error);
  }
  const bool bounded = loss.error < kUnbounded;
  row.loss = {
      scale * loss.value,
      bounded ? std::fabs(scale) * (loss.bound() + kRounding * std::fabs(loss.value)) : kUnbounded};
  return row;
}

const prim::TokenSequence& Reference::SequenceOf(int64_t query_row) const {
  return *std::find_if(p_.sequences.begin(), p_.sequences.end(), [&](const prim::TokenSequence& s) {
    return query_row < s.row_begin + s.rows;
  });
}

Reference::Reference(const Problem& problem, const Params& in, const std::vector<int64_t>& rows,
                     const prim::ForIndices& for_indices)
    : p_(problem), in_(in) {
  if (std::none_of(rows.begin(), rows.end(), [&](int64_t row) { return row >= p_.query_rows; }))
    return;
  score_grads_.resize(static_cast<size_t>(p_.query_rows));
  losses_.resize(static_cast<size_t>(p_.query_rows));
  for_indices(p_.query_rows, [&](int64_t i) {
    Row row = RowOf(i);
    score_grads_[static_cast<size_t>(i)] = std::move(row.score_grads);
    losses_[static_cast<size_t>(i)] = row.loss;
  });
}

void Reference::PutQueryRow(int64_t query_row, size_t slot, base::Golden* golden) const {
  const prim::TokenSequence& s = SequenceOf(query_row);
  const int64_t token = query_row - s.row_begin;
  const Row row = RowOf(query_row);
  const auto keys = row.score_grads.size();
  const auto heads = static_cast<size_t>(p_.index_heads);
  const auto dim = static_cast<size_t>(p_.index_dim);
  std::vector<Sum> queries(heads * dim);
  std::vector<Sum> weights(heads);
  for (size_t j = 0; j < keys; ++j) {
    const std::vector<double> key = prim::ReferenceElements(
        in_.key_index, p_.KeyOffset(in_.key_index, s, static_cast<int64_t>(j)), p_.index_dim);
    const Number& grad = row.score_grads[j];
    for (size_t g = 0; g < heads; ++g) {
      const ReferenceScores::Product& product = row.scores.products[j * heads + g];
      weights[g].Add(grad.value, grad.error, product.value < 0 ? 0 : product.value, product.error);
      const double weight = NumberOf(p_, in_.weights, s, token, static_cast<int64_t>(g));
      const Sum factor = ScoreGrad(grad.value, grad.error, weight, product);
      for (size_t c = 0; c < dim; ++c) queries[g * dim + c].Add(factor.value, factor.error, key[c]);
    }
  }
  for (const size_t output : {1, 3, 4}) golden->outputs[output].rows[slot] = query_row;
  for (size_t i = 0; i < queries.size(); ++i)
    queries[i].Put(static_cast<int64_t>(i), slot, &golden->outputs[1]);
  for (size_t i = 0; i < heads; ++i)
    weights[i].Put(static_cast<int64_t>(i), slot, &golden->outputs[3]);
  *golden->outputs[4].Row(static_cast<int64_t>(slot)) = row.loss.value;
  *golden->outputs[4].BoundRow(static_cast<int64_t>(slot)) = row.loss.error;
}

void Reference::PutKeyRow(int64_t key_row, size_t slot, base::Golden* golden) const {
  golden->outputs[2].rows[slot] = key_row;
  const bool packed = p_.key_layout == prim::TokenLayout::kTnd;
  std::vector<Sum> sums(static_cast<size_t>(p_.index_dim));
  for (const prim::TokenSequence& s : p_.sequences) {
    const int64_t first = packed ? s.key_begin : s.batch * in_.key_index.shape[1];
    const int64_t position = key_row - first;
    if (s.padding || position < 0 || position >= s.keys) continue;
    const std::vector<double> key = prim::ReferenceElements(
        in_.key_index, p_.KeyOffset(in_.key_index, s, position), p_.index_dim);
    for (int64_t token = 0; token < s.rows; ++token) {
      const std::vector<Number>& grads = score_grads_[static_cast<size_t>(s.row_begin + token)];
      if (position >= static_cast<int64_t>(grads.size())) continue;
      const Number& grad = grads[static_cast<size_t>(position)];
      for (int64_t g = 0; g < p_.index_heads; ++g) {
        const std::vector<double> query = prim::ReferenceElements(
            in_.query_index,
            p_.TokenOffset(in_.query_index, s, token) + g * p_.HeadStride(in_.query_index),
            p_.index_dim);
        const Sum factor = ScoreGrad(grad.value, grad.error, NumberOf(p_, in_.weights, s, token, g),
                                     dense_lightning_indexer::Dot(query, key));
        for (size_t c = 0; c < sums.size(); ++c) sums[c].Add(factor.value, factor.error, query[c]);
      }
    }
  }
  for (size_t c = 0; c < sums.size(); ++c)
    sums[c].Put(static_cast<int64_t>(c), slot, &golden->outputs[2]);
}

void Reference::PutLoss(size_t slot, base::Golden* golden) const {
  golden->outputs[0].rows[slot] = 0;
  double value = 0;
  double error = 0;
  for (const Number& loss : losses_) {
    value += loss.value;
    error += loss.error;
  }
  *golden->outputs[0].Row(static_cast<int64_t>(slot)) = value;
  *golden->outputs[0].BoundRow(static_cast<int64_t>(slot)) = error;
}

void Reference::PutRow(int64_t row, size_t slot, base::Golden* golden) const {
  if (row < p_.query_rows) {
    PutQueryRow(row, slot, golden);
  } else if (row < p_.query_rows + p_.key_rows) {
    PutKeyRow(row - p_.query_rows, slot, golden);
  } else {
    PutLoss(slot, golden);
  }
}

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

#include "prim/references/index_grad_reference.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/dtype.h"
#include "prim/references/attention_reference.h"

namespace tamis::prim {
namespace {

constexpr double kRounding = 0x1p-24;
constexpr double kLeastProbability = 1e-8;
// Statistics that are not of these scores may make any number of a probability. From here on sums
// may leave fp32, and infinities of both signs meet: an evaluation in fp32 may give anything.
constexpr double kMostProbability = 0x1p64;

double Clamped(double x) { return x < kLeastProbability ? kLeastProbability : x; }
double Relu(double x) { return x < 0 ? 0 : x; }  // NaN stays NaN

double NumberAt(const TokenProblem& p, const TensorView& view, const TokenSequence& s,
                int64_t token, int64_t head) {
  return base::LoadAsDouble(view.data, view.dtype, p.TokenOffset(view, s, token) + head);
}

std::vector<double> HeadOf(const TokenProblem& p, const TensorView& view, const TokenSequence& s,
                           int64_t token, int64_t head, int64_t dim) {
  return ReferenceElements(view, p.TokenOffset(view, s, token) + head * p.HeadStride(view), dim);
}

std::vector<double> KeyOf(const TokenProblem& p, const TensorView& view, const TokenSequence& s,
                          int64_t position, int64_t head, int64_t dim) {
  const int64_t at = p.KeyOffset(view, s, position);
  return ReferenceElements(view, at + (head > 0 ? head * p.HeadStride(view) : 0), dim);
}

// dS of a score's gradient. Where the sign of S is not sure, it may be 0 or not.
Number ScoreGrad(const Number& grad, double weight, const Number& product) {
  Number found;
  const bool positive = product.value > 0;
  found.value = positive ? grad.value * weight : 0;
  found.error =
      positive ? grad.error * std::fabs(weight) + kRounding * std::fabs(grad.value * weight) : 0;
  if (std::fabs(product.value) <= product.error && product.error > 0)
    found.error = (std::fabs(grad.value) + grad.error) * std::fabs(weight);
  if (!grad.bounded()) found.error = kUnbounded;
  return found;
}

void Put(const std::vector<NumberSum>& sums, size_t slot, base::GoldenOutput* output) {
  const auto row = static_cast<int64_t>(slot);
  for (size_t i = 0; i < sums.size(); ++i) {
    output->Row(row)[i] = sums[i].value;
    output->BoundRow(row)[i] = sums[i].bound();
  }
}

}  // namespace

void NumberSum::Add(const Number& factor, const Number& x) {
  ++terms;
  value += factor.value * x.value;
  magnitude += std::fabs(factor.value * x.value);
  error += factor.bounded()
               ? factor.error * (std::fabs(x.value) + x.error) + std::fabs(factor.value) * x.error
               : kUnbounded;
}
double NumberSum::bound() const { return error + base::Fp32SumBound(terms, magnitude); }
Number NumberSum::number() const { return {value, error < kUnbounded ? bound() : kUnbounded}; }

Number ProbabilityOf(const Number& score, double max, double sum) {
  const double exponent = score.value - max;
  Number found;
  found.value = std::exp(exponent) / sum;
  const double moved = score.error + kRounding * (2 * std::fabs(score.value) + std::fabs(exponent));
  found.error = std::fabs(found.value) * (std::expm1(moved) + 16 * kRounding) +
                std::min(kLeastExponential, std::exp(exponent)) / std::fabs(sum);
  if (std::fabs(found.value) > kMostProbability) found.error = kUnbounded;
  return found;
}

Number Quotient(const Number& x, const Number& y) {
  const double value = x.value / y.value;
  const double least = std::fabs(y.value) - y.error;
  if (!x.bounded() || !y.bounded() || least <= 0) return {value, kUnbounded};
  return {value, (x.error + std::fabs(value) * y.error) / least + 2 * kRounding * std::fabs(value)};
}

Number ScaledDifference(double scale, const Number& q, const Number& p) {
  const double value = scale * (q.value - p.value);
  return {value, q.bounded() && p.bounded()
                     ? std::fabs(scale) * (p.error + q.error) + 2 * kRounding * std::fabs(value)
                     : kUnbounded};
}

Number ScaledLoss(double scale, const NumberSum& divergence) {
  const Number loss = divergence.number();
  return {scale * loss.value,
          loss.bounded() ? std::fabs(scale) * (loss.error + kRounding * std::fabs(loss.value))
                         : kUnbounded};
}

void AddDivergence(const Number& p, const Number& q, NumberSum* sum) {
  // Either probability moves by its error; the quotient and its logarithm are rounded.
  const double distance = std::log(Clamped(p.value) / Clamped(q.value));
  const auto moved = [](const Number& of) {
    return std::log(Clamped(of.value + of.error) / Clamped(of.value - of.error));
  };
  const double error = p.bounded() && q.bounded()
                           ? moved(p) + moved(q) + 8 * kRounding * (1 + std::fabs(distance))
                           : kUnbounded;
  sum->Add({distance, error}, p);
}

Number DotProduct(const std::vector<double>& a, const std::vector<double>& b) {
  Number p;
  double magnitude = 0;
  for (size_t c = 0; c < a.size(); ++c) {
    p.value += a[c] * b[c];
    magnitude += std::fabs(a[c] * b[c]);
  }
  p.error = base::Fp32SumBound(static_cast<double>(a.size()), magnitude);
  return p;
}

TokenScores ScoresOf(const TokenProblem& p, const IndexScores& in, const TokenSequence& s,
                     int64_t token, const std::vector<int64_t>& positions) {
  std::vector<std::vector<double>> queries;
  for (int64_t g = 0; g < in.heads; ++g)
    queries.push_back(HeadOf(p, in.query, s, token, g, in.dim));
  const std::vector<double> weights =
      ReferenceElements(in.weights, p.TokenOffset(in.weights, s, token), in.heads);
  TokenScores scores;
  for (const int64_t position : positions) {
    const std::vector<double> key = KeyOf(p, in.key, s, position, 0, in.dim);
    double value = 0;
    double magnitude = 0;
    double error = 0;
    for (size_t g = 0; g < queries.size(); ++g) {
      const Number product = DotProduct(queries[g], key);
      scores.products.push_back(product);
      value += weights[g] * Relu(product.value);
      magnitude += std::fabs(weights[g]) * Relu(product.value);
      error += std::fabs(weights[g]) * product.error;
    }
    scores.values.push_back(
        {value, error + base::Fp32SumBound(static_cast<double>(queries.size()), magnitude)});
  }
  return scores;
}

Number ProbabilitySum(const TokenProblem& p, const MainAttention& in, const TokenSequence& s,
                      int64_t token, int64_t position) {
  const auto scale = static_cast<double>(static_cast<float>(in.scale));  // as kernels have it
  NumberSum sum;
  for (int64_t h = 0; h < in.heads; ++h) {
    double score = 0;
    double magnitude = 0;
    const auto add = [&](const TensorView& query, const TensorView& key, int64_t dim) {
      const std::vector<double> q = HeadOf(p, query, s, token, h, dim);
      const std::vector<double> k = KeyOf(p, key, s, position, h / in.group, dim);
      for (size_t c = 0; c < q.size(); ++c) {
        score += q[c] * k[c];
        magnitude += std::fabs(q[c] * k[c]);
      }
    };
    add(in.query, in.key, in.dim);
    if (!in.query_rope.absent()) add(in.query_rope, in.key_rope, in.rope_dim);
    const double error =
        std::fabs(scale) * base::Fp32SumBound(static_cast<double>(in.dim + in.rope_dim), magnitude);
    sum.Add(ProbabilityOf({scale * score, error}, NumberAt(p, in.max, s, token, h),
                          NumberAt(p, in.sum, s, token, h)),
            {1, 0});
  }
  return sum.number();
}

const TokenSequence& IndexGradReference::SequenceOf(int64_t query_row) const {
  const std::vector<TokenSequence>& all = call_.problem.sequences;
  return *std::find_if(all.begin(), all.end(),
                       [&](const TokenSequence& s) { return query_row < s.row_begin + s.rows; });
}

IndexGradReference::IndexGradReference(IndexGradCall call, const std::vector<int64_t>& rows,
                                       const ForIndices& for_indices)
    : call_(std::move(call)) {
  if (std::none_of(rows.begin(), rows.end(), [&](int64_t row) { return row >= call_.query_rows; }))
    return;
  rows_.resize(static_cast<size_t>(call_.query_rows));
  for_indices(call_.query_rows, [&](int64_t i) {
    const TokenSequence& s = SequenceOf(i);
    rows_[static_cast<size_t>(i)] = call_.row_of(s, i - s.row_begin);
  });
}

void IndexGradReference::PutQueryRow(int64_t query_row, size_t slot, base::Golden* golden) const {
  const TokenProblem& p = call_.problem;
  const IndexScores& in = call_.scores;
  const TokenSequence& s = SequenceOf(query_row);
  const int64_t token = query_row - s.row_begin;
  const IndexGradRow row = call_.row_of(s, token);
  const TokenScores scores = ScoresOf(p, in, s, token, row.positions);
  const auto heads = static_cast<size_t>(in.heads);
  const auto dim = static_cast<size_t>(in.dim);
  std::vector<NumberSum> queries(heads * dim);
  std::vector<NumberSum> weights(heads);
  for (size_t j = 0; j < row.grads.size(); ++j) {
    const std::vector<double> key = KeyOf(p, in.key, s, row.positions[j], 0, in.dim);
    for (size_t g = 0; g < heads; ++g) {
      const Number& product = scores.products[j * heads + g];
      weights[g].Add(row.grads[j], {Relu(product.value), product.error});
      const double weight = NumberAt(p, in.weights, s, token, static_cast<int64_t>(g));
      const Number factor = ScoreGrad(row.grads[j], weight, product);
      for (size_t c = 0; c < dim; ++c) queries[g * dim + c].Add(factor, {key[c], 0});
    }
  }
  const auto output = [&](int i) -> base::GoldenOutput& {
    base::GoldenOutput& found = golden->outputs[static_cast<size_t>(i)];
    found.rows[slot] = query_row;
    return found;
  };
  Put(queries, slot, &output(call_.query_grad));
  Put(weights, slot, &output(call_.weights_grad));
  if (call_.row_loss < 0) return;
  base::GoldenOutput& loss = output(call_.row_loss);
  *loss.Row(static_cast<int64_t>(slot)) = row.loss.value;
  *loss.BoundRow(static_cast<int64_t>(slot)) = row.loss.error;
}

void IndexGradReference::PutKeyRow(int64_t key_row, size_t slot, base::Golden* golden) const {
  const TokenProblem& p = call_.problem;
  const IndexScores& in = call_.scores;
  base::GoldenOutput& output = golden->outputs[static_cast<size_t>(call_.key_grad)];
  output.rows[slot] = key_row;
  const bool packed = p.key_layout == TokenLayout::kTnd;
  std::vector<NumberSum> sums(static_cast<size_t>(in.dim));
  for (const TokenSequence& s : p.sequences) {
    const int64_t first = packed ? s.key_begin : s.batch * in.key.shape[1];
    const int64_t position = key_row - first;
    if (s.padding || position < 0 || position >= s.keys) continue;
    const std::vector<double> key = KeyOf(p, in.key, s, position, 0, in.dim);
    for (int64_t token = 0; token < s.rows; ++token) {
      const IndexGradRow& row = rows_[static_cast<size_t>(s.row_begin + token)];
      for (size_t j = 0; j < row.positions.size(); ++j) {
        if (row.positions[j] != position) continue;
        for (int64_t g = 0; g < in.heads; ++g) {
          const std::vector<double> query = HeadOf(p, in.query, s, token, g, in.dim);
          const Number factor =
              ScoreGrad(row.grads[j], NumberAt(p, in.weights, s, token, g), DotProduct(query, key));
          for (size_t c = 0; c < sums.size(); ++c) sums[c].Add(factor, {query[c], 0});
        }
      }
    }
  }
  Put(sums, slot, &output);
}

void IndexGradReference::PutLoss(size_t slot, base::Golden* golden) const {
  base::GoldenOutput& output = golden->outputs[static_cast<size_t>(call_.loss)];
  output.rows[slot] = 0;
  double value = 0;
  double error = 0;
  for (const IndexGradRow& row : rows_) {
    value += row.loss.value;
    error += row.loss.error;
  }
  *output.Row(static_cast<int64_t>(slot)) = value;
  *output.BoundRow(static_cast<int64_t>(slot)) = error;
}

void IndexGradReference::PutRow(int64_t row, size_t slot, base::Golden* golden) const {
  if (row < call_.query_rows) {
    PutQueryRow(row, slot, golden);
  } else if (row < call_.query_rows + call_.key_rows) {
    PutKeyRow(row - call_.query_rows, slot, golden);
  } else {
    PutLoss(slot, golden);
  }
}

}  // namespace tamis::prim

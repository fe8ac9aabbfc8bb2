#include "prim/references/attention_grad_reference.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/dtype.h"
#include "prim/references/attention_reference.h"

namespace tamis::prim {
namespace {

constexpr double kRounding = 0x1p-24;

// Statistics that are not of these scores may make any number of a probability. From here on sums
// may leave fp32, and infinities of both signs meet: an evaluation in fp32 may give anything.
constexpr double kMostProbability = 0x1p64;
constexpr double kUnbounded = 1e200;

int64_t RowsOf(const TensorView& view, int row_dims) {
  int64_t rows = 1;
  for (int i = 0; i < row_dims; ++i) rows *= view.shape[i];
  return rows;
}

// Where head `head` of a row begins.
int64_t OffsetOf(const TensorView& view, int row_dims, int64_t row, int64_t head) {
  int64_t offset = head * view.strides[row_dims];
  for (int i = row_dims - 1; i >= 0; --i) {
    offset += row % view.shape[i] * view.strides[i];
    row /= view.shape[i];
  }
  return offset;
}

std::vector<double> HeadAt(const TensorView& view, int row_dims, int64_t row, int64_t head) {
  return ReferenceElements(view, OffsetOf(view, row_dims, row, head), view.shape[row_dims + 1]);
}

// The two parts of a query or a key; the second may be absent.
std::vector<double> PartsAt(const TensorView& first, const TensorView& second, int row_dims,
                            int64_t row, int64_t head) {
  std::vector<double> parts = HeadAt(first, row_dims, row, head);
  if (second.absent()) return parts;
  const std::vector<double> rest = HeadAt(second, row_dims, row, head);
  parts.insert(parts.end(), rest.begin(), rest.end());
  return parts;
}

int64_t DimsOf(const TensorView& view, int row_dims) {
  return view.absent() ? 0 : view.shape[row_dims + 1];
}

struct Product {
  double value = 0;
  double magnitude = 0;
};
Product Dot(const std::vector<double>& a, const std::vector<double>& b) {
  Product p;
  for (size_t i = 0; i < a.size(); ++i) {
    p.value += a[i] * b[i];
    p.magnitude += std::fabs(a[i] * b[i]);
  }
  return p;
}

double StatisticAt(const TensorView& view, int row_dims, int64_t row, int64_t head) {
  return base::LoadAsDouble(view.data, view.dtype, OffsetOf(view, row_dims, row, head));
}

struct Probability {
  double value = 0;
  double error = 0;
};
Probability ProbabilityOf(double score, double score_error, double max, double sum) {
  const double exponent = score - max;
  Probability p = {std::exp(exponent) / sum};
  // Of the score; of scaling, subtracting and the exponential; of dividing and multiplying.
  const double exponent_error =
      score_error + kRounding * (2 * std::fabs(score) + std::fabs(exponent));
  p.error = std::fabs(p.value) * (std::expm1(exponent_error) + 16 * kRounding) +
            std::min(kLeastExponential, std::exp(exponent)) / std::fabs(sum);
  if (std::fabs(p.value) > kMostProbability) p.error = kUnbounded;
  return p;
}

// A sum of terms, each with an error of its own, that fp32 adds up.
class Sums {
 public:
  explicit Sums(int64_t count) : sums_(static_cast<size_t>(count)) {}
  void Add(double factor, double factor_error, const std::vector<double>& x) {
    ++terms_;
    for (size_t c = 0; c < x.size(); ++c) {
      sums_[c].value += factor * x[c];
      sums_[c].magnitude += std::fabs(factor * x[c]);
      sums_[c].error += factor_error * (factor_error < kUnbounded ? std::fabs(x[c]) : 1);
    }
  }
  // `count` sums from `begin` on are those of head `head` of a row.
  void Put(int64_t begin, int64_t count, size_t slot, int64_t head,
           base::GoldenOutput* output) const {
    const auto at = static_cast<int64_t>(slot);
    for (int64_t c = 0; c < count; ++c) {
      const int64_t i = head * count + c;
      const Sum& sum = sums_[static_cast<size_t>(begin + c)];
      output->Row(at)[i] = sum.value;
      output->BoundRow(at)[i] = sum.error + base::Fp32SumBound(terms_, sum.magnitude);
    }
  }

 private:
  struct Sum {
    double value = 0;
    double magnitude = 0;
    double error = 0;
  };
  std::vector<Sum> sums_;
  double terms_ = 0;
};

}  // namespace

int64_t GradCall::query_rows() const { return RowsOf(query, query_row_dims); }
int64_t GradCall::key_rows() const { return RowsOf(key, key_row_dims); }

// Of a query row and a key row.
struct AttentionGradReference::Pair {
  double p = 0;
  double p_error = 0;
  double dp = 0;
  double dp_error = 0;
  double ds = 0;
  double ds_error = 0;
};

struct AttentionGradReference::Query {
  std::vector<double> query;
  std::vector<double> out_grad;
  double max = 0;
  double sum = 0;
};
struct AttentionGradReference::Key {
  std::vector<double> key;
  std::vector<double> value;
};

AttentionGradReference::Query AttentionGradReference::QueryOf(int64_t row, int64_t head) const {
  const GradCall& c = call_;
  return {PartsAt(c.query, c.query_rope, c.query_row_dims, row, head),
          HeadAt(c.out_grad, c.query_row_dims, row, head),
          StatisticAt(c.max, c.query_row_dims, row, head),
          StatisticAt(c.sum, c.query_row_dims, row, head)};
}

AttentionGradReference::Key AttentionGradReference::KeyOf(int64_t row, int64_t kv_head) const {
  const GradCall& c = call_;
  return {PartsAt(c.key, c.key_rope, c.key_row_dims, row, kv_head),
          HeadAt(c.value, c.key_row_dims, row, kv_head)};
}

std::vector<AttentionGradReference::Key> AttentionGradReference::KeysOf(const GradCall::Keys& keys,
                                                                        int64_t kv_head) const {
  std::vector<Key> rows;
  rows.reserve(keys.rows.size());
  for (const int64_t row : keys.rows) rows.push_back(KeyOf(row, kv_head));
  return rows;
}

AttentionGradReference::Pair AttentionGradReference::PairOf(const Query& query, const Key& key,
                                                            const Delta& delta) const {
  const GradCall& c = call_;
  const auto scale = static_cast<double>(static_cast<float>(c.scale));  // as kernels have it

  Pair pair;
  const Product score = Dot(query.query, key.key);
  const double score_error =
      std::fabs(scale) * base::Fp32SumBound(static_cast<double>(key.key.size()), score.magnitude);
  const Probability p = ProbabilityOf(scale * score.value, score_error, query.max, query.sum);
  pair.p = p.value;
  pair.p_error = p.error;
  const Product dp = Dot(query.out_grad, key.value);
  pair.dp = dp.value;
  pair.dp_error = base::Fp32SumBound(static_cast<double>(key.value.size()), dp.magnitude);
  const double distance = pair.dp - delta.value;
  pair.ds = scale * pair.p * distance;
  pair.ds_error =
      std::fabs(scale) * (pair.p_error * (std::fabs(distance) + pair.dp_error + delta.error) +
                          std::fabs(pair.p) * (pair.dp_error + delta.error)) +
      4 * kRounding * std::fabs(pair.ds);
  if (pair.p_error >= kUnbounded || delta.error >= kUnbounded) pair.ds_error = kUnbounded;
  return pair;
}

AttentionGradReference::Delta AttentionGradReference::DeltaOf(const Query& query,
                                                              const std::vector<Key>& keys,
                                                              bool averages) const {
  Delta delta;
  delta.sees = !keys.empty();
  if (averages) return delta;
  double magnitude = 0;
  bool bounded = true;
  for (const Key& key : keys) {
    const Pair pair = PairOf(query, key, {});
    bounded = bounded && pair.p_error < kUnbounded;
    delta.value += pair.p * pair.dp;
    magnitude += std::fabs(pair.p * pair.dp);
    delta.error +=
        pair.p_error * (std::fabs(pair.dp) + pair.dp_error) + std::fabs(pair.p) * pair.dp_error;
  }
  delta.error += base::Fp32SumBound(static_cast<double>(keys.size()), magnitude);
  if (!bounded) delta.error = kUnbounded;
  return delta;
}

AttentionGradReference::AttentionGradReference(GradCall call, const std::vector<int64_t>& rows,
                                               const ForIndices& for_indices)
    : call_(std::move(call)) {
  const int64_t query_rows = call_.query_rows();
  const int64_t heads = call_.kv_heads * call_.group;
  std::vector<char> needed(static_cast<size_t>(query_rows), 0);
  for (const int64_t row : rows) {
    if (row < query_rows) continue;
    const GradCall::QueryRange range = row < query_rows + call_.key_rows()
                                           ? call_.queries_of(row - query_rows)
                                           : GradCall::QueryRange{0, query_rows};
    std::fill(needed.begin() + range.begin, needed.begin() + range.end, 1);
  }
  if (std::find(needed.begin(), needed.end(), 1) == needed.end()) return;
  deltas_.resize(static_cast<size_t>(query_rows * heads));
  for_indices(query_rows, [&](int64_t row) {
    if (needed[static_cast<size_t>(row)] == 0) return;
    for (int64_t kv_head = 0; kv_head < call_.kv_heads; ++kv_head) {
      const GradCall::Keys seen = call_.keys_of(row, kv_head);
      const std::vector<Key> keys = KeysOf(seen, kv_head);
      for (int64_t head = kv_head * call_.group; head < (kv_head + 1) * call_.group; ++head) {
        deltas_[static_cast<size_t>(row * heads + head)] =
            DeltaOf(QueryOf(row, head), keys, seen.averages);
      }
    }
  });
}

void AttentionGradReference::PutQueryRow(int64_t query_row, size_t slot,
                                         base::Golden* golden) const {
  const GradCall& c = call_;
  const int64_t dim = DimsOf(c.query, c.query_row_dims);
  const int64_t rope_dim = DimsOf(c.query_rope, c.query_row_dims);
  golden->outputs[0].rows[slot] = query_row;
  if (rope_dim > 0) golden->outputs[3].rows[slot] = query_row;
  for (int64_t kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
    const GradCall::Keys seen = c.keys_of(query_row, kv_head);
    const std::vector<Key> keys = KeysOf(seen, kv_head);
    for (int64_t head = kv_head * c.group; head < (kv_head + 1) * c.group; ++head) {
      Sums sums(dim + rope_dim);
      const Query query = QueryOf(query_row, head);
      const Delta delta = DeltaOf(query, keys, seen.averages);
      for (size_t i = 0; i < keys.size() && !seen.averages; ++i) {
        const Pair pair = PairOf(query, keys[i], delta);
        sums.Add(pair.ds, pair.ds_error, keys[i].key);
      }
      sums.Put(0, dim, slot, head, &golden->outputs[0]);
      if (rope_dim > 0) sums.Put(dim, rope_dim, slot, head, &golden->outputs[3]);
    }
  }
}

void AttentionGradReference::PutKeyRow(int64_t key_row, size_t slot, base::Golden* golden) const {
  const GradCall& c = call_;
  const int64_t dim = DimsOf(c.key, c.key_row_dims);
  const int64_t rope_dim = DimsOf(c.key_rope, c.key_row_dims);
  const int64_t value_dim = DimsOf(c.value, c.key_row_dims);
  golden->outputs[1].rows[slot] = key_row;
  if (!c.value_in_key) golden->outputs[2].rows[slot] = key_row;
  if (rope_dim > 0) golden->outputs[4].rows[slot] = key_row;
  const GradCall::QueryRange range = c.queries_of(key_row);
  const int64_t heads = c.kv_heads * c.group;
  for (int64_t kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
    Sums keys(dim + rope_dim);
    Sums own_values(value_dim);
    Sums& values = c.value_in_key ? keys : own_values;
    const Key key = KeyOf(key_row, kv_head);
    for (int64_t row = range.begin; row < range.end; ++row) {
      const GradCall::Keys seen = c.keys_of(row, kv_head);
      const auto repeats =
          static_cast<double>(std::count(seen.rows.begin(), seen.rows.end(), key_row));
      if (repeats == 0) continue;
      for (int64_t head = kv_head * c.group; head < (kv_head + 1) * c.group; ++head) {
        const Query query = QueryOf(row, head);
        if (seen.averages) {
          const double share = 1.0 / static_cast<double>(seen.rows.size());
          values.Add(share, share * kRounding, query.out_grad);
          continue;
        }
        const Pair pair = PairOf(query, key, deltas_[static_cast<size_t>(row * heads + head)]);
        values.Add(repeats * pair.p, repeats * pair.p_error, query.out_grad);
        keys.Add(repeats * pair.ds, repeats * pair.ds_error, query.query);
      }
    }
    keys.Put(0, dim, slot, kv_head, &golden->outputs[1]);
    if (!c.value_in_key) values.Put(0, value_dim, slot, kv_head, &golden->outputs[2]);
    if (rope_dim > 0) keys.Put(dim, rope_dim, slot, kv_head, &golden->outputs[4]);
  }
}

// - sum over query rows of exp(sink - max) / sum delta. A row without keys adds nothing.
void AttentionGradReference::PutSink(int64_t head, size_t slot, base::Golden* golden) const {
  const GradCall& c = call_;
  const int64_t heads = c.kv_heads * c.group;
  const double sink = base::LoadAsDouble(c.sinks.data, c.sinks.dtype, head * c.sinks.strides[0]);
  Sums sum(1);
  for (int64_t row = 0; row < c.query_rows(); ++row) {
    const Delta& delta = deltas_[static_cast<size_t>(row * heads + head)];
    if (!delta.sees) continue;
    const Probability p = ProbabilityOf(sink, 0, StatisticAt(c.max, c.query_row_dims, row, head),
                                        StatisticAt(c.sum, c.query_row_dims, row, head));
    const double error = std::fabs(delta.value) * p.error +
                         (std::fabs(p.value) + p.error) * delta.error +
                         kRounding * std::fabs(p.value * delta.value);
    sum.Add(-p.value * delta.value,
            p.error >= kUnbounded || delta.error >= kUnbounded ? kUnbounded : error, {1.0});
  }
  golden->outputs[5].rows[slot] = head;
  sum.Put(0, 1, slot, 0, &golden->outputs[5]);
}

void AttentionGradReference::PutRow(int64_t row, size_t slot, base::Golden* golden) const {
  const int64_t query_rows = call_.query_rows();
  if (row < query_rows) return PutQueryRow(row, slot, golden);
  if (row < query_rows + call_.key_rows()) return PutKeyRow(row - query_rows, slot, golden);
  PutSink(row - query_rows - call_.key_rows(), slot, golden);
}

}  // namespace tamis::prim

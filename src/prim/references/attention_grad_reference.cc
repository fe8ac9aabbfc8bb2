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
  void Put(size_t slot, int64_t head, base::GoldenOutput* output) const {
    const auto at = static_cast<int64_t>(slot);
    const int64_t first = head * static_cast<int64_t>(sums_.size());
    for (size_t c = 0; c < sums_.size(); ++c) {
      const int64_t i = first + static_cast<int64_t>(c);
      output->Row(at)[i] = sums_[c].value;
      output->BoundRow(at)[i] = sums_[c].error + base::Fp32SumBound(terms_, sums_[c].magnitude);
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

AttentionGradReference::Pair AttentionGradReference::PairOf(int64_t query_row, int64_t head,
                                                            int64_t key_row,
                                                            const Delta& delta) const {
  const GradCall& c = call_;
  const int64_t kv_head = head / c.group;
  const std::vector<double> query = HeadAt(c.query, c.query_row_dims, query_row, head);
  const std::vector<double> key = HeadAt(c.key, c.key_row_dims, key_row, kv_head);
  const std::vector<double> value = HeadAt(c.value, c.key_row_dims, key_row, kv_head);
  const std::vector<double> out_grad = HeadAt(c.out_grad, c.query_row_dims, query_row, head);
  const auto statistic = [&](const TensorView& view) {
    return base::LoadAsDouble(view.data, view.dtype,
                              OffsetOf(view, c.query_row_dims, query_row, head));
  };
  const double max = statistic(c.max);
  const double sum = statistic(c.sum);
  const auto scale = static_cast<double>(static_cast<float>(c.scale));  // as kernels have it

  Pair pair;
  const Product score = Dot(query, key);
  const double exponent = scale * score.value - max;
  pair.p = std::exp(exponent) / sum;
  // Of the score; of scaling, subtracting and the exponential; of dividing and multiplying.
  const double score_error =
      std::fabs(scale) * base::Fp32SumBound(static_cast<double>(query.size()), score.magnitude);
  const double exponent_error =
      score_error + kRounding * (2 * std::fabs(scale * score.value) + std::fabs(exponent));
  pair.p_error = std::fabs(pair.p) * (std::expm1(exponent_error) + 16 * kRounding) +
                 std::min(kLeastExponential, std::exp(exponent)) / std::fabs(sum);
  if (std::fabs(pair.p) > kMostProbability) pair.p_error = kUnbounded;
  const Product dp = Dot(out_grad, value);
  pair.dp = dp.value;
  pair.dp_error = base::Fp32SumBound(static_cast<double>(value.size()), dp.magnitude);
  const double distance = pair.dp - delta.value;
  pair.ds = scale * pair.p * distance;
  pair.ds_error =
      std::fabs(scale) * (pair.p_error * (std::fabs(distance) + pair.dp_error + delta.error) +
                          std::fabs(pair.p) * (pair.dp_error + delta.error)) +
      4 * kRounding * std::fabs(pair.ds);
  if (pair.p_error >= kUnbounded || delta.error >= kUnbounded) pair.ds_error = kUnbounded;
  return pair;
}

AttentionGradReference::Delta AttentionGradReference::DeltaOf(int64_t query_row, int64_t head,
                                                              const GradCall::Keys& keys) const {
  Delta delta;
  if (keys.averages) return delta;
  double magnitude = 0;
  bool bounded = true;
  for (const int64_t key_row : keys.rows) {
    const Pair pair = PairOf(query_row, head, key_row, {});
    bounded = bounded && pair.p_error < kUnbounded;
    delta.value += pair.p * pair.dp;
    magnitude += std::fabs(pair.p * pair.dp);
    delta.error +=
        pair.p_error * (std::fabs(pair.dp) + pair.dp_error) + std::fabs(pair.p) * pair.dp_error;
  }
  delta.error += base::Fp32SumBound(static_cast<double>(keys.rows.size()), magnitude);
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
    const GradCall::QueryRange range = call_.queries_of(row - query_rows);
    std::fill(needed.begin() + range.begin, needed.begin() + range.end, 1);
  }
  if (std::find(needed.begin(), needed.end(), 1) == needed.end()) return;
  deltas_.resize(static_cast<size_t>(query_rows * heads));
  for_indices(query_rows, [&](int64_t row) {
    if (needed[static_cast<size_t>(row)] == 0) return;
    for (int64_t head = 0; head < heads; ++head) {
      deltas_[static_cast<size_t>(row * heads + head)] =
          DeltaOf(row, head, call_.keys_of(row, head / call_.group));
    }
  });
}

void AttentionGradReference::PutQueryRow(int64_t query_row, size_t slot,
                                         base::Golden* golden) const {
  const GradCall& c = call_;
  golden->outputs[0].rows[slot] = query_row;
  for (int64_t kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
    const GradCall::Keys keys = c.keys_of(query_row, kv_head);
    for (int64_t head = kv_head * c.group; head < (kv_head + 1) * c.group; ++head) {
      Sums sums(c.query.shape[c.query_row_dims + 1]);
      const Delta delta = DeltaOf(query_row, head, keys);
      for (size_t i = 0; i < keys.rows.size() && !keys.averages; ++i) {
        const Pair pair = PairOf(query_row, head, keys.rows[i], delta);
        sums.Add(pair.ds, pair.ds_error, HeadAt(c.key, c.key_row_dims, keys.rows[i], kv_head));
      }
      sums.Put(slot, head, &golden->outputs[0]);
    }
  }
}

void AttentionGradReference::PutKeyRow(int64_t key_row, size_t slot, base::Golden* golden) const {
  const GradCall& c = call_;
  golden->outputs[1].rows[slot] = key_row;
  golden->outputs[2].rows[slot] = key_row;
  const GradCall::QueryRange range = c.queries_of(key_row);
  const int64_t heads = c.kv_heads * c.group;
  for (int64_t kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
    Sums keys(c.key.shape[c.key_row_dims + 1]);
    Sums values(c.value.shape[c.key_row_dims + 1]);
    for (int64_t row = range.begin; row < range.end; ++row) {
      const GradCall::Keys seen = c.keys_of(row, kv_head);
      const auto repeats =
          static_cast<double>(std::count(seen.rows.begin(), seen.rows.end(), key_row));
      if (repeats == 0) continue;
      for (int64_t head = kv_head * c.group; head < (kv_head + 1) * c.group; ++head) {
        const std::vector<double> out_grad = HeadAt(c.out_grad, c.query_row_dims, row, head);
        if (seen.averages) {
          const double share = 1.0 / static_cast<double>(seen.rows.size());
          values.Add(share, share * kRounding, out_grad);
          continue;
        }
        const Pair pair =
            PairOf(row, head, key_row, deltas_[static_cast<size_t>(row * heads + head)]);
        values.Add(repeats * pair.p, repeats * pair.p_error, out_grad);
        keys.Add(repeats * pair.ds, repeats * pair.ds_error,
                 HeadAt(c.query, c.query_row_dims, row, head));
      }
    }
    keys.Put(slot, kv_head, &golden->outputs[1]);
    values.Put(slot, kv_head, &golden->outputs[2]);
  }
}

void AttentionGradReference::PutRow(int64_t row, size_t slot, base::Golden* golden) const {
  const int64_t query_rows = call_.query_rows();
  if (row < query_rows) {
    PutQueryRow(row, slot, golden);
  } else {
    PutKeyRow(row - query_rows, slot, golden);
  }
}

}  // namespace tamis::prim

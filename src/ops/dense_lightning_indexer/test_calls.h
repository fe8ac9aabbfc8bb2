// Calls of the room's operators for their tests, from a seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "tests/support/refusals.h"
#include "tests/support/token_calls.h"

namespace tamis::test::dense_indexer {

struct Shape : Tokens {
  int64_t heads = 6;
  int64_t kv_heads = 2;
  int64_t dim = 20;
  int64_t rope = 0;  // 0: none
  int64_t index_heads = 3;
  int64_t index_dim = 12;
  int64_t mode = 3;
  double sharpness = 1;  // of weights
  bool weights_float32 = false;
  bool scaled = false;  // tokens have factors, some of them 0
  int64_t count = 12;   // slots of lists
  bool sinks = false;   // of the main attention over lists
  bool plain = false;   // the main attention's statistics are constants

  int64_t query_rows() const {
    int64_t rows = 1;
    for (const int64_t size : QueryShape({})) rows *= size;
    return rows;
  }
  // Sequence and token of a query row; {-1, 0}: padding.
  std::pair<int64_t, int64_t> TokenOf(int64_t row) const {
    int64_t begin = 0;
    for (size_t b = 0; b < q.size(); ++b) {
      if (row >= begin && row < begin + q[b]) return {static_cast<int64_t>(b), row - begin};
      begin += tnd ? q[b] : QueryShape({})[1];
    }
    return {-1, 0};
  }
  double ScaleOf(int64_t row) const {
    return !scaled ? 1 : row % 4 == 2 ? 0 : 0.25 * static_cast<double>(row % 7 + 1);
  }
  // Keys that a query row sees.
  int64_t EndOf(int64_t row) const {
    const auto [b, token] = TokenOf(row);
    if (b < 0) return 0;
    const int64_t all = n[static_cast<size_t>(b)];
    const int64_t end = all - q[static_cast<size_t>(b)] + token + 1;
    return mode == 0 ? all : std::clamp<int64_t>(end, 0, all);
  }
};

class Calls {
 public:
  Calls(const Shape& s, uint64_t seed) : s_(s), seed_(seed), random_(seed), place_(s, &random_) {}

  TestCall Lse() {
    TestCall call("dense_lightning_indexer_softmax_lse");
    AddIndex(&call);
    return call;
  }

  // With the statistics of both distributions.
  TestCall Loss() {
    TestCall call("dense_lightning_indexer_grad_kl_loss");
    AddMain(&call);
    AddMainStatistics(&call, [&](int64_t row) {
      std::vector<int64_t> all(static_cast<size_t>(s_.EndOf(row)));
      std::iota(all.begin(), all.end(), 0);
      return all;
    });
    TestCall lse = Lse();
    EXPECT_TRUE(lse.Run({.threads = 1, .level = Level::kScalar}).ok());
    for (const char* name : {"softmax_max_index", "softmax_sum_index"})
      AddNumbers(&call, name, [&](int64_t row) { return lse.Got(name, row); });
    return call;
  }

  // Over lists: ids in no order, some named twice, some past the end, and at times a negative one.
  TestCall Sparse() {
    TestCall call("sparse_lightning_indexer_grad_kl_loss");
    AddMain(&call);
    std::vector<double> ids;
    const int64_t most = *std::max_element(s_.n.begin(), s_.n.end()) + 2;
    for (int64_t i = 0; i < s_.query_rows() * s_.count; ++i)
      ids.push_back(random_.Below(40) == 0 ? -1.0
                                           : static_cast<double>(random_.Between(0, most - 1)));
    call.Tensor("sparse_indices", DType::kInt32, s_.QueryShape({1, s_.count}), Elements(ids));
    AddMainStatistics(&call, [&](int64_t row) {
      std::vector<int64_t> seen;
      const int64_t end = s_.EndOf(row);
      for (int64_t i = 0; i < std::min(s_.count, end); ++i) {
        const double id = ids[static_cast<size_t>(row * s_.count + i)];
        if (id < 0) break;
        if (id < static_cast<double>(end)) seen.push_back(static_cast<int64_t>(id));
      }
      return seen;
    });
    if (s_.sinks) call.Tensor("sinks", DType::kFloat32, {s_.heads}, [](int64_t) { return NAN; });
    return call;
  }

  // NaN where no token is.
  void AddNumbers(TestCall* call, const char* name, const std::function<double(int64_t)>& of) {
    call->Strided(name, DType::kFloat32, s_.QueryShape({}), 0,
                  [&](int64_t row) { return s_.TokenOf(row).first < 0 ? NAN : of(row); });
  }

  const Placement& place() const { return place_; }

 private:
  static constexpr double kScale = 0.3;

  // A token's elements, NaN in padding and in tokens that do not count.
  double QueryValue(const char* name, int64_t row, int64_t place) const {
    if (s_.TokenOf(row).first < 0 || s_.ScaleOf(row) == 0) return NAN;
    return Draw(seed_, name, place);
  }
  void AddQueries(TestCall* call, const char* name, int64_t heads, int64_t dim) {
    call->Strided(name, s_.dtype, s_.QueryShape({heads, dim}), s_.gap, [&](int64_t i) {
      return QueryValue(name, i / std::max<int64_t>(heads * dim, 1), i);
    });
  }
  void AddKeys(TestCall* call, const char* name, int64_t heads, int64_t dim) {
    call->Strided(name, s_.dtype, place_.Shape(dim, heads), s_.gap, [&](int64_t i) {
      return place_.Holds(i / std::max<int64_t>(heads * dim, 1)) ? Draw(seed_, name, i) : NAN;
    });
  }
  void AddIndex(TestCall* call) {
    const auto of = [](bool packed, const std::vector<int64_t>& lengths) {
      return packed ? Prefix(lengths) : lengths;
    };
    AddQueries(call, "query_index", s_.index_heads, s_.index_dim);
    AddKeys(call, "key_index", 1, s_.index_dim);
    call->Strided("weights", s_.weights_float32 ? DType::kFloat32 : s_.dtype,
                  s_.QueryShape({s_.index_heads}), 0,
                  [&](int64_t i) {
                    return s_.sharpness *
                           QueryValue("weights", i / std::max<int64_t>(s_.index_heads, 1), i);
                  })
        .Set("layout", s_.tnd ? "TND" : "BSND")
        .Set("sparse_mode", s_.mode)
        .List("actual_seq_lengths_query", s_.lengths, of(s_.tnd, s_.q))
        .List("actual_seq_lengths_key", s_.lengths, of(s_.tnd, s_.n));
  }

  void AddMain(TestCall* call) {
    AddIndex(call);
    AddQueries(call, "query", s_.heads, s_.dim);
    AddKeys(call, "key", s_.kv_heads, s_.dim);
    if (s_.rope > 0) {
      AddQueries(call, "query_rope", s_.heads, s_.rope);
      AddKeys(call, "key_rope", s_.kv_heads, s_.rope);
    }
    call->Set("scale_value", kScale).Set("return_row_loss", true);
    if (s_.scaled) AddNumbers(call, "row_scale", [&](int64_t row) { return s_.ScaleOf(row); });
  }

  static double Element(const TensorView& view, int64_t index) {
    return base::LoadAsDouble(view.data, view.dtype, OffsetOf(view, index));
  }
  double ScoreOf(const TestCall& call, int64_t row, int64_t head, int64_t position) const {
    const int64_t key_row = place_.RowOf(s_.TokenOf(row).first, position);
    const int64_t kv_head = head / (s_.heads / s_.kv_heads);
    double score = 0;
    const auto add = [&](const char* query, const char* key, int64_t dim) {
      for (int64_t c = 0; c < dim; ++c)
        score += Element(call.view(query), (row * s_.heads + head) * dim + c) *
                 Element(call.view(key), (key_row * s_.kv_heads + kv_head) * dim + c);
    };
    add("query", "key", s_.dim);
    if (s_.rope > 0) add("query_rope", "key_rope", s_.rope);
    return kScale * score;
  }
  // Of a softmax over `positions_of` a row.
  void AddMainStatistics(TestCall* call,
                         const std::function<std::vector<int64_t>(int64_t)>& positions_of) {
    if (s_.plain) {
      for (const char* name : {"softmax_max", "softmax_sum"})
        call->Tensor(name, DType::kFloat32, s_.QueryShape({s_.heads}), [](int64_t) { return 2.0; });
      return;
    }
    std::vector<double> max;
    std::vector<double> sum;
    for (int64_t row = 0; row < s_.query_rows(); ++row) {
      for (int64_t head = 0; head < s_.heads; ++head) {
        std::vector<double> scores;
        for (const int64_t j : positions_of(row)) scores.push_back(ScoreOf(*call, row, head, j));
        max.push_back(scores.empty() ? NAN : *std::max_element(scores.begin(), scores.end()));
        sum.push_back(0);
        for (const double score : scores) sum.back() += std::exp(score - max.back());
        if (s_.sinks) sum.back() *= 1.5;
      }
    }
    call->Tensor("softmax_max", DType::kFloat32, s_.QueryShape({s_.heads}), Elements(max));
    call->Tensor("softmax_sum", DType::kFloat32, s_.QueryShape({s_.heads}), Elements(sum));
  }

  const Shape s_;
  uint64_t seed_;
  Random random_;
  Placement place_;
};

}  // namespace tamis::test::dense_indexer

// The gradient of attention over lists of keys, in float64, with the error that an fp32 evaluation
// may have: the specification of the operators that differentiate such attention.
//
//   P = exp(scale q . k - max) / sum      dP = dO . v      delta = sum over the row's keys of P dP
//   dS = scale P (dP - delta)
//   dQ = sum over keys of dS k      dK = sum over rows of dS q      dV = sum over rows of P dO
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/golden.h"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// A call as its room understands it. Query rows and key rows count the leading dimensions of
/// their tensors, flattened.
struct GradCall {
  TensorView query;
  TensorView key;
  TensorView value;
  TensorView out_grad;
  TensorView max;
  TensorView sum;
  TensorView query_rope = {};  // a second part of queries and keys; absent: none
  TensorView key_rope = {};
  TensorView sinks = {};      // by head; absent: none
  bool value_in_key = false;  // values are the first part of keys, and so are their gradients
  int query_row_dims = 1;
  int key_row_dims = 1;
  int64_t kv_heads = 1;
  int64_t group = 1;
  double scale = 1;

  /// Keys of a query row for a kv head.
  struct Keys {
    std::vector<int64_t> rows;  // in their order, as often as they count
    bool averages = false;      // all keys of a row that sees none: P is 1 / their number, dS 0
  };
  std::function<Keys(int64_t query_row, int64_t kv_head)> keys_of = {};
  /// Query rows [begin, end) that may see a key row.
  struct QueryRange {
    int64_t begin;
    int64_t end;
  };
  std::function<QueryRange(int64_t key_row)> queries_of = {};

  int64_t query_rows() const;
  int64_t key_rows() const;
};

/// Runs body(i) for i in [0, count), on several threads.
using ForIndices = std::function<void(int64_t count, const std::function<void(int64_t)>& body)>;

class AttentionGradReference {
 public:
  /// Computes delta of the rows that the golden rows `rows` need: first all query rows, then all
  /// key rows, then the sinks.
  AttentionGradReference(GradCall call, const std::vector<int64_t>& rows,
                         const ForIndices& for_indices);

  /// Outputs 0: of queries, 1: of keys, 2: of values, 3: of query_rope, 4: of key_rope, 5: of
  /// sinks; those that the operator has.
  void PutRow(int64_t row, size_t slot, base::Golden* golden) const;

 private:
  struct Delta {
    double value = 0;
    double error = 0;
    bool sees = false;  // any key
  };
  struct Pair;
  struct Query;  // a row's head
  struct Key;    // a row's kv head
  Query QueryOf(int64_t row, int64_t head) const;
  Key KeyOf(int64_t row, int64_t kv_head) const;
  std::vector<Key> KeysOf(const GradCall::Keys& keys, int64_t kv_head) const;
  Pair PairOf(const Query& query, const Key& key, const Delta& delta) const;
  Delta DeltaOf(const Query& query, const std::vector<Key>& keys, bool averages) const;
  void PutQueryRow(int64_t query_row, size_t slot, base::Golden* golden) const;
  void PutKeyRow(int64_t key_row, size_t slot, base::Golden* golden) const;
  void PutSink(int64_t head, size_t slot, base::Golden* golden) const;

  GradCall call_;
  std::vector<Delta> deltas_;  // [query rows][heads], those that key rows need
};

}  // namespace tamis::prim

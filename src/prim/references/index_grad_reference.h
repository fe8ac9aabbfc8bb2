// The gradients of a lightning indexer's scores, in float64, with the error that an fp32 evaluation
// may have: the specification of the operators that differentiate such scores.
//
//   S[g, j] = query[g] . key[j]     I[j] = sum_g w[g] relu(S[g, j])     dI[j]: the operator's own
//   dS[g, j] = dI[j] w[g] where S[g, j] > 0
//   dw[g] = sum_j dI[j] relu(S[g, j])   dquery[g] = sum_j dS[g, j] key[j]   dkey[j] = sum dS query
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/golden.h"
#include "prim/call/token_sequences.h"
#include "prim/references/attention_grad_reference.h"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// From this error on an evaluation in fp32 may give anything.
inline constexpr double kUnbounded = 1e200;

struct Number {
  double value = 0;
  double error = 0;

  bool bounded() const { return error < kUnbounded; }
};

/// A sum of terms, each with an error of its own, that fp32 adds up.
struct NumberSum {
  double value = 0;
  double magnitude = 0;
  double error = 0;
  double terms = 0;

  /// Adds factor x.
  void Add(const Number& factor, const Number& x);
  double bound() const;
  Number number() const;
};

/// exp(score - max) / sum, and what the error of the score makes of it.
Number ProbabilityOf(const Number& score, double max, double sum);

Number Quotient(const Number& x, const Number& y);

/// scale (q - p), and the loss of a token whose divergence that is.
Number ScaledDifference(double scale, const Number& q, const Number& p);
Number ScaledLoss(double scale, const NumberSum& divergence);

/// What a position adds to a divergence of q from p: p (ln max(p, 1e-8) - ln max(q, 1e-8)).
void AddDivergence(const Number& p, const Number& q, NumberSum* sum);

Number DotProduct(const std::vector<double>& a, const std::vector<double>& b);

/// The index scores of a call.
struct IndexScores {
  TensorView query;
  TensorView key;
  TensorView weights;
  int64_t heads = 0;
  int64_t dim = 0;
};

/// Those of a query token with some positions of its sequence.
struct TokenScores {
  std::vector<Number> products;  // S [position][head]
  std::vector<Number> values;    // I
};
TokenScores ScoresOf(const TokenProblem& p, const IndexScores& in, const TokenSequence& s,
                     int64_t token, const std::vector<int64_t>& positions);

/// The main attention whose probabilities the indexer learns.
struct MainAttention {
  TensorView query;
  TensorView key;
  TensorView query_rope;  // absent: none
  TensorView key_rope;
  TensorView max;
  TensorView sum;
  int64_t heads = 0;
  int64_t group = 1;  // heads of a kv head
  int64_t dim = 0;
  int64_t rope_dim = 0;
  double scale = 1;
};

/// Of a token and a position, added up over heads.
Number ProbabilitySum(const TokenProblem& p, const MainAttention& in, const TokenSequence& s,
                      int64_t token, int64_t position);

/// Of a query token: the positions it sees, as often as they count, dI, and its loss.
struct IndexGradRow {
  std::vector<int64_t> positions;
  std::vector<Number> grads;
  Number loss;
};

/// A call as its room understands it. Golden rows are those of query tokens, those of keys, and
/// where there is a loss one for that.
struct IndexGradCall {
  const TokenProblem& problem;
  IndexScores scores;
  int64_t query_rows = 0;
  int64_t key_rows = 0;
  /// Which outputs these are; -1: none.
  int query_grad = 0;
  int key_grad = 1;
  int weights_grad = 2;
  int loss = -1;
  int row_loss = -1;
  std::function<IndexGradRow(const TokenSequence&, int64_t token)> row_of = {};
};

class IndexGradReference {
 public:
  IndexGradReference(IndexGradCall call, const std::vector<int64_t>& rows,
                     const ForIndices& for_indices);

  void PutRow(int64_t row, size_t slot, base::Golden* golden) const;

 private:
  const TokenSequence& SequenceOf(int64_t query_row) const;
  void PutQueryRow(int64_t query_row, size_t slot, base::Golden* golden) const;
  void PutKeyRow(int64_t key_row, size_t slot, base::Golden* golden) const;
  void PutLoss(size_t slot, base::Golden* golden) const;

  IndexGradCall call_;
  std::vector<IndexGradRow> rows_;  // of all query rows, where a key or the loss needs them
};

}  // namespace tamis::prim

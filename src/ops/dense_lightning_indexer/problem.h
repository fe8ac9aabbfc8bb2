// The normalised dense_lightning_indexer_softmax_lse, and what it has in common with the loss.
#pragma once

#include <string>
#include <vector>

#include "base/contract.h"
#include "base/errors.h"
#include "base/operator.h"
#include "ops/dense_lightning_indexer/cpu/softmax_lse.h"
#include "prim/attention/tokens.h"
#include "prim/attention_grad/chunks.h"
#include "prim/call/token_sequences.h"
#include "prim/call/work.h"
#include "prim/references/index_grad_reference.h"
#include "tamis/ops/dense_lightning_indexer_softmax_lse.hpp"

namespace tamis::dense_lightning_indexer {

inline constexpr prim::KeyNames kKeyNames = {
    .tensor = "key_index", .lengths = "actual_seq_lengths_key", .layout = "layout"};
inline constexpr const char* kSparseModeDoc =
    "3: token i of q sees keys up to n - q + i (causal from the end); 0: all n";

base::TensorSpec Weights(const char* query);
/// A number of every query token.
base::TensorSpec TokenNumbers(const char* doc);
base::TensorSpec KeyLengths();

/// Of both operators.
struct Sizes : prim::TokenProblem {
  int64_t index_heads = 0;
  int64_t index_dim = 0;
  bool causal = true;
};

/// What both check alike. `query`: the tensor that says the dtype.
template <class Params>
Status TakeCommon(const Params& params, const char* query, base::Dims* dims, Sizes* sizes) {
  if (params.sparse_mode != 0 && params.sparse_mode != 3)
    return base::Invalid("sparse_mode", "0 or 3", params.sparse_mode);
  if (params.weights.dtype != params.query_index.dtype && params.weights.dtype != DType::kFloat32) {
    return base::Invalid("weights", "the dtype of " + std::string(query) + ", or float32",
                         "another");
  }
  prim::TokenLengths lengths;
  lengths.query_layout = lengths.key_layout = params.layout == decltype(params.layout)::kBsnd
                                                  ? prim::TokenLayout::kBsnd
                                                  : prim::TokenLayout::kTnd;
  lengths.names = kKeyNames;
  lengths.query = query;
  lengths.query_lengths = params.actual_seq_lengths_query;
  lengths.key_lengths = params.actual_seq_lengths_key;
  TAMIS_RETURN_IF_ERROR(prim::FindSequences(lengths, dims, sizes));
  sizes->index_heads = (*dims)["Ni"];
  sizes->index_dim = (*dims)["Di"];
  sizes->causal = params.sparse_mode == 3;
  return Status::Ok();
}

/// Of the main attention: both or none.
template <class Params>
Status CheckRopes(const Params& params) {
  if (params.query_rope.absent() == params.key_rope.absent()) return Status::Ok();
  return params.query_rope.absent()
             ? base::Invalid("query_rope", "a tensor where key_rope is one", "none")
             : base::Invalid("key_rope", "a tensor where query_rope is one", "none");
}

/// The index scores in the kernels' view: tensors, then the rest.
template <class Params>
void BindScores(const Sizes& p, const Params& in, Scores* scores) {
  scores->query = prim::attention::HeadsOf(p, in.query_index);
  scores->key = prim::attention::RowsOf(p, in.key_index);
  scores->weights = prim::attention::HeadsOf(p, in.weights);
}
template <class Params>
void FillScores(const Sizes& p, const Params& in, Scores* scores) {
  BindScores(p, in, scores);
  scores->heads = p.index_heads;
  scores->dim = p.index_dim;
  scores->element = prim::ElementOf(in.query_index.dtype);
  scores->weights_element = prim::ElementOf(in.weights.dtype);
}

/// Pairs of a query token and a key that it sees.
double CountPairs(const Sizes& p);

/// The index scores for the reference.
template <class Params>
prim::IndexScores ReferenceScores(const Sizes& p, const Params& in) {
  return {in.query_index, in.key_index, in.weights, p.index_heads, p.index_dim};
}

}  // namespace tamis::dense_lightning_indexer

namespace tamis::dense_lightning_indexer_softmax_lse {

struct Problem : dense_lightning_indexer::Sizes {
  prim::attention::Call call;           // its sequences
  prim::attention_grad::Chunks chunks;  // groups alone
  KernelArgs args = {};                 // the kernels' view, filled by OnCpu
};

struct Room {
  using Params = dense_lightning_indexer_softmax_lse::Params;
  using Problem = dense_lightning_indexer_softmax_lse::Problem;
  static constexpr const char* kFolder = "dense_lightning_indexer";

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static void ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                           base::Golden* golden);
  static void OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                    prim::CpuWork* work);
  static std::string Blocking(const Problem& problem);
  static void Bind(const Problem& problem, const Params& in, KernelArgs* args);
  static Cost CountCost(const Problem& problem, const Params& in);
  static const std::vector<base::Example>& examples();
};

}  // namespace tamis::dense_lightning_indexer_softmax_lse

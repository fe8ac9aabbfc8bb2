// One call of a gradient of index scores over lists, as the plans of its operators make it.
#pragma once

#include "prim/call/token_sequences.h"
#include "prim/list_grad/call.h"
#include "prim/list_grad/cpu/index_scores.h"

namespace tamis::prim::list_grad {

struct IndexSizes {
  int64_t heads;
  int64_t dim;
  int64_t top_k;
};

/// Sequences and sizes, before tensors are bound.
void BeginIndex(const TokenProblem& p, bool causal, const IndexSizes& sizes,
                const TensorView& query, const TensorView& key, Call* call, IndexArgs* args);

struct IndexTensors {
  const TensorView& query;
  const TensorView& key;
  const TensorView& weights;
  const TensorView& indices;
  const TensorView& limits;
  const TensorView& query_grad;
  const TensorView& key_grad;
  const TensorView& weights_grad;
};

/// Tensors, where sizes are.
void BindIndex(const TokenProblem& p, const IndexTensors& in, IndexArgs* args);

/// Pairs of a query token and a position of its list; of ids without memory, the most.
double CountListed(const TokenProblem& p, bool causal, const TensorView& ids,
                   const TensorView& limits);

}  // namespace tamis::prim::list_grad

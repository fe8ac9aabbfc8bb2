// The gradient of attention of the operators on query tokens and keys: what their layouts say.
#pragma once

#include <functional>
#include <vector>

#include "prim/attention/tokens.h"
#include "prim/attention_grad/call.h"
#include "prim/call/token_sequences.h"
#include "prim/references/attention_grad_reference.h"
#include "tamis/plan.hpp"

namespace tamis::prim::attention_grad {

/// The tensors of a gradient of attention.
struct Tensors {
  const TensorView& query;
  const TensorView& key;
  const TensorView& value;
  const TensorView& out_grad;
  const TensorView& max;
  const TensorView& sum;
  const TensorView& query_grad;
  const TensorView& key_grad;
  const TensorView& value_grad;
};

template <class Params>
Tensors TensorsOf(const Params& in) {
  return {in.query,       in.key,        in.value,    in.attention_out_grad, in.softmax_max,
          in.softmax_sum, in.query_grad, in.key_grad, in.value_grad};
}

/// Rows of the reference: those of queries, then those of keys.
int64_t RowsOf(const TokenProblem& p, const base::Dims& dims, const KeyNames& names = {});

/// Into args whose forward is that of the call.
void BindTensors(const TokenProblem& p, const Tensors& in, Args* args);

/// Where the forward of `call` has its tensors and sequences: the call's args, but for the tensors.
void BeginGrad(const TokenProblem& p, const Tensors& in, Call* call);

/// Of `pairs` of a query token and a key, for one head.
Cost CostOf(bool padded_queries, const Tensors& in, double pairs);

/// `positions_of` gives the positions that token `token` of a sequence sees for a kv head, in their
/// order, as often as they count.
GradCall ReferenceCall(
    const TokenProblem& p, const Tensors& in,
    std::function<std::vector<int64_t>(const TokenSequence&, int64_t token, int64_t kv_head)>
        positions_of);

}  // namespace tamis::prim::attention_grad

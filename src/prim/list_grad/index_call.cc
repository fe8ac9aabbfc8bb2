#include "prim/list_grad/index_call.h"

#include <algorithm>

#include "prim/attention/tokens.h"
#include "prim/attention_grad/call.h"
#include "prim/call/room.h"
#include "prim/references/listed.h"

namespace tamis::prim::list_grad {

void BeginIndex(const TokenProblem& p, bool causal, const IndexSizes& sizes,
                const TensorView& query, const TensorView& key, Call* call, IndexArgs* args) {
  attention::Begin(&call->forward);
  call->forward.args = {};
  AddSequences(p, causal, &call->forward);
  SetKeys(p, key, call);
  attention::Args& attend = args->list.attend;
  attend = call->forward.args;
  attend.group = sizes.heads;
  attend.dim = sizes.dim;
  attend.element = ElementOf(query.dtype);
  attend.sources[0].list.slots = sizes.top_k;
  if (causal) attend.sources[0].staircase = {p.key_tokens, p.key_tokens};
  args->list.tables = 1;
  args->list.columns = sizes.dim;
}

void BindIndex(const TokenProblem& p, const IndexTensors& in, IndexArgs* args) {
  using attention::HeadsOf;
  Args& list = args->list;
  list.attend.query = HeadsOf(p, in.query);
  attention::Source& source = list.attend.sources[0];
  source.key = attention::RowsOf(p, in.key);
  source.list.ids = Data<const int32_t>(in.indices);
  source.list.at = p.TokensOf(in.indices);
  BindLimits(p, in.limits, &source);
  args->weights = HeadsOf(p, in.weights);
  args->query_grad = HeadsOf(p, in.query_grad);
  args->weights_grad = HeadsOf(p, in.weights_grad);
  list.piece_count = list.output_count = 0;
  if (in.key_grad.absent()) return;
  AddPiece({list.attend.query, list.attend.dim, 0, 0}, &list);
  AddOutput({attention_grad::GradRowsOf(attention::RowsOf(p, in.key_grad)), list.attend.dim, 0},
            &list);
}

double CountListed(const TokenProblem& p, bool causal, const TensorView& ids,
                   const TensorView& limits) {
  double pairs = 0;
  for (const TokenSequence& s : p.sequences) {
    for (int64_t i = 0; i < s.rows; ++i) {
      if (ids.data == nullptr) {
        const int64_t seen = p.End(s, i, causal, TensorView()) - s.first;
        pairs += static_cast<double>(std::min(seen, ids.shape[ids.rank - 1]));
        continue;
      }
      const int64_t end = p.End(s, i, causal, limits.data == nullptr ? TensorView() : limits);
      pairs += static_cast<double>(ListedPositions(p, ids, s, i, end).size());
    }
  }
  return pairs;
}

}  // namespace tamis::prim::list_grad

#include "prim/attention_grad/tokens.h"

#include <algorithm>
#include <utility>

#include "prim/call/cost.h"

namespace tamis::prim::attention_grad {
namespace {

bool Packed(const TokenProblem& p) { return p.key_layout == TokenLayout::kTnd; }

// First row of a sequence's keys, leading dimensions flattened.
int64_t FirstKeyRow(const TokenProblem& p, const TensorView& key, const TokenSequence& s) {
  return Packed(p) ? s.key_begin : s.batch * key.shape[1];
}

}  // namespace

int64_t RowsOf(const TokenProblem& p, const base::Dims& dims, const KeyNames& names) {
  const int64_t queries = p.padded_queries ? Times(dims["B"], dims["S1"]) : dims["T1"];
  const int64_t keys =
      Packed(p) ? dims[names.packed] : Times(dims[names.batch], dims[names.padded]);
  return Plus(queries, keys);
}

void BindTensors(const TokenProblem& p, const Tensors& in, Args* args) {
  Args& a = *args;
  a.attend.query = attention::HeadsOf(p, in.query);
  a.attend.sources[0].key = attention::RowsOf(p, in.key);
  a.attend.sources[0].value = attention::RowsOf(p, in.value);
  a.out_grad = attention::HeadsOf(p, in.out_grad);
  a.max = Data<const float>(in.max);
  a.max_at = p.TokensOf(in.max);
  a.sum = Data<const float>(in.sum);
  a.sum_at = p.TokensOf(in.sum);
  a.query_grad = attention::HeadsOf(p, in.query_grad);
  a.key_grad = GradRowsOf(attention::RowsOf(p, in.key_grad));
  a.value_grad = GradRowsOf(attention::RowsOf(p, in.value_grad));
}

void BeginGrad(const TokenProblem& p, const Tensors& in, Call* call) {
  call->args = {};
  call->args.attend = call->forward.args;
  BindTensors(p, in, &call->args);
  call->packed_keys = Packed(p);
  call->key_batches = Packed(p) ? 1 : in.key.shape[0];
  call->rows_of_batch = in.key.shape[Packed(p) ? 0 : 1];
}

// Five products, of which two over values: S, dQ, dK; dP, dV. What is not wanted is not counted.
Cost CostOf(bool padded_queries, const Tensors& in, double pairs) {
  const int heads_at = padded_queries ? 2 : 1;
  const auto heads = static_cast<double>(in.query.shape[heads_at]);
  const auto dim = static_cast<double>(in.query.shape[heads_at + 1]);
  const auto value_dim = static_cast<double>(in.out_grad.shape[heads_at + 1]);
  const auto wanted = [](const TensorView& view) { return view.absent() ? 0.0 : 1.0; };
  Cost cost;
  cost.flops = 2.0 * pairs * heads *
               (dim * (1 + wanted(in.query_grad) + wanted(in.key_grad)) +
                value_dim * (1 + wanted(in.value_grad)));
  cost.read_bytes = CountBytes({&in.query, &in.key, &in.value, &in.out_grad, &in.max, &in.sum});
  cost.write_bytes = CountBytes({&in.query_grad, &in.key_grad, &in.value_grad});
  return cost;
}

GradCall ReferenceCall(
    const TokenProblem& p, const Tensors& in,
    std::function<std::vector<int64_t>(const TokenSequence&, int64_t token, int64_t kv_head)>
        positions_of) {
  GradCall call = {.query = in.query,
                   .key = in.key,
                   .value = in.value,
                   .out_grad = in.out_grad,
                   .max = in.max,
                   .sum = in.sum,
                   .query_row_dims = p.padded_queries ? 2 : 1,
                   .key_row_dims = Packed(p) ? 1 : 2};
  call.keys_of = [&p, key = in.key, positions_of = std::move(positions_of)](int64_t row,
                                                                            int64_t kv_head) {
    const auto s =
        std::find_if(p.sequences.begin(), p.sequences.end(),
                     [&](const TokenSequence& of) { return row < of.row_begin + of.rows; });
    GradCall::Keys keys;
    if (s == p.sequences.end() || s->padding || row < s->row_begin) return keys;
    keys.rows = positions_of(*s, row - s->row_begin, kv_head);
    for (int64_t& position : keys.rows) position += FirstKeyRow(p, key, *s);
    return keys;
  };
  call.queries_of = [&p, key = in.key](int64_t key_row) {
    for (const TokenSequence& s : p.sequences) {
      const int64_t first = FirstKeyRow(p, key, s);
      if (!s.padding && key_row >= first && key_row < first + s.keys)
        return GradCall::QueryRange{s.row_begin, s.row_begin + s.rows};
    }
    return GradCall::QueryRange{0, 0};
  };
  return call;
}

}  // namespace tamis::prim::attention_grad

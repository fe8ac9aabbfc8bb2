#include <algorithm>
#include <string>
#include <utility>

#include "base/errors.h"
#include "ops/nsa_compress_attention/grad_problem.h"
#include "prim/attention_grad/tokens.h"
#include "prim/call/room.h"

namespace tamis::nsa_compress_attention_grad {
namespace {

using prim::AttentionProblem;
using prim::AttentionSequence;
using prim::attention_grad::TensorsOf;

// The forward, without selection. Windows matter where positions hide keys.
nsa_compress_attention::Params ForwardOf(const Params& in) {
  nsa_compress_attention::Params forward;
  forward.query = in.query;
  forward.key = in.key;
  forward.value = in.value;
  forward.atten_mask = in.atten_mask;
  forward.key_limits = in.key_limits;
  forward.scale_value = in.scale_value;
  forward.head_num = in.head_num;
  forward.compress_block_size = in.causal ? in.compress_block_size : 1;
  forward.compress_stride = in.causal ? in.compress_stride : 1;
  forward.select_block_size = std::max<int64_t>(forward.compress_stride, 1);
  forward.select_block_count = 0;
  forward.actual_seq_qlen = in.actual_seq_qlen;
  forward.actual_cmp_seq_kvlen = in.actual_cmp_seq_kvlen;
  forward.causal = in.causal;
  forward.actual_raw_seq_kvlen = in.actual_raw_seq_kvlen;
  forward.masked_rows = in.masked_rows;
  return forward;
}

const AttentionSequence* SequenceOfQuery(const AttentionProblem& p, int64_t row) {
  for (const AttentionSequence& s : p.sequences) {
    if (row >= s.row_begin && row < s.row_begin + s.rows) return &s;
  }
  return nullptr;
}

prim::GradCall::Keys KeysOf(const AttentionProblem& p, const Params& in, int64_t row) {
  prim::GradCall::Keys keys;
  const AttentionSequence* s = SequenceOfQuery(p, row);
  if (s == nullptr) return keys;
  const int64_t t = row - s->row_begin;
  const auto* mask = prim::Data<const uint8_t>(in.atten_mask);
  for (int64_t key = 0; key < s->keys; ++key) {
    const bool masked = mask != nullptr && mask[t * in.atten_mask.strides[0] + key] != 0;
    if (!masked && !IsHiddenByPosition(p, in.key_limits, *s, t, key))
      keys.rows.push_back(s->key_begin + key);
  }
  if (!keys.rows.empty() || p.zero_masked_rows) return keys;
  keys.averages = true;
  for (int64_t key = 0; key < s->keys; ++key) keys.rows.push_back(s->key_begin + key);
  return keys;
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  TAMIS_RETURN_IF_ERROR(
      nsa_compress_attention::Room::Normalise(ForwardOf(params), dims, &problem->attention));
  dims->Set("Rows", prim::Plus((*dims)["T"], (*dims)["Tc"]));
  return Status::Ok();
}

void Room::Bind(const Problem& problem, const Params& in, prim::attention_grad::Args* args) {
  const AttentionProblem& p = problem.attention;
  prim::attention_grad::Args& a = *args;
  a.attend.query = HeadsOf(p, in.query);
  a.attend.sources[0].key = prim::RowsOf(in.key, false, p.qk_dim);
  a.attend.sources[0].value = prim::RowsOf(in.value, false, p.v_dim);
  BindHidden(p, in.atten_mask, in.key_limits, &a.attend.sources[0]);
  a.out_grad = HeadsOf(p, in.attention_out_grad);
  a.max = prim::Data<const float>(in.softmax_max);
  a.max_at = p.TokensOf(in.softmax_max);
  a.sum = prim::Data<const float>(in.softmax_sum);
  a.sum_at = p.TokensOf(in.softmax_sum);
  a.query_grad = HeadsOf(p, in.query_grad);
  a.key_grad = prim::attention_grad::GradRowsOf(prim::RowsOf(in.key_grad, false, p.qk_dim));
  a.value_grad = prim::attention_grad::GradRowsOf(prim::RowsOf(in.value_grad, false, p.v_dim));
}

void Room::OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                 prim::CpuWork* work) {
  prim::attention::Begin(&problem.forward);
  FillSource(problem.attention, in.query, &problem.forward);
  problem.args = {};
  problem.args.attend = problem.forward.args;
  Bind(problem, in, &problem.args);
  problem.rows_of_batch = in.key.shape[0];
  MakeWork(target, &problem, work);
}

prim::AttentionGradReference Room::ReferenceOf(const Problem& problem, const Params& in,
                                               const std::vector<int64_t>& rows,
                                               const prim::ForIndices& for_indices) {
  const AttentionProblem& p = problem.attention;
  prim::GradCall call = {.query = in.query,
                         .key = in.key,
                         .value = in.value,
                         .out_grad = in.attention_out_grad,
                         .max = in.softmax_max,
                         .sum = in.softmax_sum,
                         .kv_heads = p.kv_heads,
                         .group = p.group,
                         .scale = p.scale};
  call.keys_of = [&](int64_t row, int64_t /*kv_head*/) { return KeysOf(p, in, row); };
  call.queries_of = [&](int64_t key_row) {
    for (const AttentionSequence& s : p.sequences) {
      if (key_row >= s.key_begin && key_row < s.key_begin + s.keys)
        return prim::GradCall::QueryRange{s.row_begin, s.row_begin + s.rows};
    }
    return prim::GradCall::QueryRange{0, 0};
  };
  return {std::move(call), rows, for_indices};
}

std::string Room::Blocking(const Problem& p) { return prim::attention_grad::Blocking(p); }

Cost Room::CountCost(const Problem& problem, const Params& in) {
  double pairs = 0;
  for (const AttentionSequence& s : problem.attention.sequences)
    pairs += CountVisible(problem.attention, in.atten_mask, s);
  return prim::attention_grad::CostOf(false, TensorsOf(in), pairs);
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_compress_attention_grad

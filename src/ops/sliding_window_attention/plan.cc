#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/sliding_window_attention/problem.h"
#include "prim/attention/tokens.h"
#include "prim/call/room.h"

namespace tamis::sliding_window_attention {
namespace {

// Tokens of an item: rows enough to share the widened keys, but where windows are short not so many
// that most of their keys are another's.
int64_t TokensPerItem(const Problem& p, int64_t most_tokens) {
  constexpr int64_t kVector = 16;  // rows, of the widest level
  const int64_t tokens = std::max<int64_t>(prim::attention::kRowsPerItem / p.group, 1);
  const int64_t vector = base::CeilDiv(kVector, p.group);
  return std::max<int64_t>(1, std::min({tokens, std::max(vector, p.window), most_tokens}));
}

}  // namespace

double CountPairs(const Sizes& p) {
  double pairs = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    for (int64_t i = 0; i < s.rows; ++i)
      pairs += static_cast<double>(WindowOf(p, s, i, TensorView()).length);
  }
  return pairs;
}

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  return TakeCommon(params, params.block_table, dims, problem);
}

void Room::Bind(const Problem& p, const Params& in, prim::attention::Args* args) {
  prim::attention::Args& a = *args;
  a.query = HeadsOf(p, in.query);
  a.sources[0].key = RowsOf(p, in.key);
  a.sources[0].value = RowsOf(p, in.value);
  BindLimits(p, in.key_limits, &a.sources[0]);
  a.out = HeadsOf(p, in.attention_out);
  a.max = prim::Data<float>(in.softmax_max);
  a.max_at = p.TokensOf(in.softmax_max);
  a.sum = prim::Data<float>(in.softmax_sum);
  a.sum_at = p.TokensOf(in.softmax_sum);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  prim::attention::Begin(&p);
  prim::attention::Args& a = p.args;
  Bind(p, in, &a);
  SetPages(p, &a.sources[0]);
  a.sources[0].window = p.window;
  AddSequences(p, true, &p);
  a.kv_heads = p.kv_heads;
  a.group = p.group;
  a.dim = p.qk_dim;
  a.value_dim = p.v_dim;
  a.scale = static_cast<float>(p.scale);
  a.element = prim::ElementOf(in.query.dtype);
  a.out_element = prim::ElementOf(in.attention_out.dtype);
  int64_t most_tokens = 1;
  for (const prim::TokenSequence& s : p.sequences) most_tokens = std::max(most_tokens, s.rows);
  a.tokens_per_item = TokensPerItem(p, most_tokens);
  a.head_block = p.group;
  MakeWork(target, &p, work);
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(p.args.tokens_per_item) + " tokens x " + std::to_string(p.group) +
         " heads of a kv head per item, tiles of " + std::to_string(p.args.key_tile) + " keys";
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  Cost cost;
  double rows = 0;
  double keys = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    rows += static_cast<double>(s.rows);
    if (s.padding) continue;
    // From the first key of the first window to the last token's own.
    const prim::Span last = WindowOf(p, s, s.rows - 1, TensorView());
    keys += static_cast<double>(last.begin + last.length - WindowOf(p, s, 0, TensorView()).begin);
  }
  const auto heads = static_cast<double>(p.kv_heads * p.group);
  const auto dims = static_cast<double>(p.qk_dim + p.v_dim);
  const auto bytes = static_cast<double>(base::ItemSize(in.query.dtype));
  const auto out_bytes = static_cast<double>(base::ItemSize(in.attention_out.dtype));
  cost.flops = 2.0 * CountPairs(p) * heads * dims;
  cost.read_bytes = bytes * keys * static_cast<double>(p.kv_heads) * dims +
                    bytes * rows * heads * static_cast<double>(p.qk_dim);
  cost.write_bytes =
      rows * heads *
      (out_bytes * static_cast<double>(p.v_dim) + (in.softmax_max.absent() ? 0.0 : 4.0) +
       (in.softmax_sum.absent() ? 0.0 : 4.0));
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::sliding_window_attention

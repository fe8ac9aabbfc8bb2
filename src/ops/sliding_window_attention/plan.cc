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

Status CheckHeads(const base::Dims& dims, Problem* problem) {
  const int64_t heads = dims["N"];
  const int64_t kv_heads = dims["N2"];
  if (heads < 1) return base::Invalid("query", "at least 1 head", heads);
  if (kv_heads < 1) return base::Invalid("key", "at least 1 head", kv_heads);
  if (heads % kv_heads != 0) {
    return base::Invalid("key", "heads that divide those of query = " + std::to_string(heads),
                         kv_heads);
  }
  problem->kv_heads = kv_heads;
  problem->group = heads / kv_heads;
  return Status::Ok();
}

// Tokens of an item: rows enough to share the widened keys, but where windows are short not so many
// that most of their keys are another's.
int64_t TokensPerItem(const Problem& p, int64_t most_tokens) {
  constexpr int64_t kVector = 16;  // rows, of the widest level
  const int64_t tokens = std::max<int64_t>(prim::attention::kRowsPerItem / p.group, 1);
  const int64_t vector = base::CeilDiv(kVector, p.group);
  return std::max<int64_t>(1, std::min({tokens, std::max(vector, p.window), most_tokens}));
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  if (params.window_size < 0) return base::Invalid("window_size", "at least 0", params.window_size);
  TAMIS_RETURN_IF_ERROR(CheckHeads(d, problem));
  prim::TokenLengths lengths;
  lengths.query_layout = prim::LayoutOf(params.layout_query);
  lengths.key_layout = prim::LayoutOf(params.layout_kv);
  lengths.query_lengths = params.actual_seq_lengths_query;
  lengths.key_lengths = params.actual_seq_lengths_kv;
  lengths.block_table = params.block_table;
  lengths.key_starts = params.key_starts;
  lengths.limited = !params.key_limits.absent();
  lengths.window = params.window_size;
  TAMIS_RETURN_IF_ERROR(prim::FindSequences(lengths, dims, problem));
  problem->qk_dim = d["D"];
  problem->v_dim = d["D2"];
  problem->window = params.window_size;
  problem->scale = params.scale_value;
  return Status::Ok();
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

// Limits are the run's, and count for nothing here.
Cost Room::CountCost(const Problem& p, const Params& in) {
  Cost cost;
  const auto seen = [&](const prim::TokenSequence& s, int64_t i) {
    return p.End(s, i, true, TensorView()) - s.first;
  };
  double query_key_pairs = 0;
  double rows = 0;
  double keys = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    rows += static_cast<double>(s.rows);
    if (s.padding) continue;
    for (int64_t i = 0; i < s.rows; ++i)
      query_key_pairs += static_cast<double>(std::min(seen(s, i), p.window));
    // From the first key of the first window to the last token's own.
    const int64_t last = seen(s, s.rows - 1);
    keys += static_cast<double>(last - std::max<int64_t>(0, seen(s, 0) - p.window));
  }
  const auto heads = static_cast<double>(p.kv_heads * p.group);
  const auto dims = static_cast<double>(p.qk_dim + p.v_dim);
  const auto bytes = static_cast<double>(base::ItemSize(in.query.dtype));
  const auto out_bytes = static_cast<double>(base::ItemSize(in.attention_out.dtype));
  cost.flops = 2.0 * query_key_pairs * heads * dims;
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

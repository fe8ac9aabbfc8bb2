#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/sliding_window_attention/cpu/kernel_units.h"
#include "ops/sliding_window_attention/problem.h"
#include "prim/call/room.h"

namespace tamis::sliding_window_attention {
namespace {

// Rows (tokens x heads of a group) per item: every key is widened once per item, which is work that
// more rows share.
constexpr int64_t kRowsPerItem = 64;

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

Rows RowsOf(const Problem& p, const TensorView& view, int64_t dim) {
  const bool tnd = p.key_layout == prim::TokenLayout::kTnd;
  const int row = tnd ? 0 : 1;
  return {.data = static_cast<const uint16_t*>(view.data),
          .row_stride = view.strides[row],
          .head_stride = view.strides[row + 1],
          .page_stride = tnd ? 0 : view.strides[0],
          .dim = dim};
}

Sequence SequenceOf(const Problem& p, const prim::TokenSequence& from) {
  Sequence s = {};
  s.rows = from.rows;
  s.batch = from.batch;
  s.token = from.token;
  s.key_begin = from.key_begin;
  if (p.key_layout == prim::TokenLayout::kPaged) s.table_offset = p.page_table.offset(from.batch);
  s.visible = from.keys - from.rows + 1;
  s.padding = from.padding;
  return s;
}

// Tokens of an item: rows enough to share the widened keys, but where windows are short not so many
// that most of their keys are another's.
int64_t TokensPerItem(const Problem& p, int64_t most_tokens) {
  const int64_t tokens = std::max<int64_t>(kRowsPerItem / p.group, 1);
  const int64_t vector = base::CeilDiv(kLine, p.group);
  return std::max<int64_t>(1, std::min({tokens, std::max(vector, p.window), most_tokens}));
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  if (params.window_size < 1) return base::Invalid("window_size", "at least 1", params.window_size);
  TAMIS_RETURN_IF_ERROR(CheckHeads(d, problem));
  prim::TokenLengths lengths;
  lengths.query_layout = prim::LayoutOf(params.layout_query);
  lengths.key_layout = prim::LayoutOf(params.layout_kv);
  lengths.query_lengths = params.actual_seq_lengths_query;
  lengths.key_lengths = params.actual_seq_lengths_kv;
  lengths.block_table = params.block_table;
  lengths.window = params.window_size;
  TAMIS_RETURN_IF_ERROR(prim::FindSequences(lengths, dims, problem));
  problem->qk_dim = d["D"];
  problem->v_dim = d["D2"];
  problem->window = std::min(params.window_size, kMostPositions);
  problem->scale = params.scale_value;
  return Status::Ok();
}

void Room::Bind(const Problem& p, const Params& in, KernelArgs* args) {
  KernelArgs& a = *args;
  a.query = prim::Data<const uint16_t>(in.query);
  a.query_at = p.TokensOf(in.query);
  a.query_head_stride = p.HeadStride(in.query);
  a.key = RowsOf(p, in.key, p.qk_dim);
  a.value = RowsOf(p, in.value, p.v_dim);
  a.out = prim::Data<uint16_t>(in.attention_out);
  a.out_at = p.TokensOf(in.attention_out);
  a.out_head_stride = p.HeadStride(in.attention_out);
  a.max = prim::Data<float>(in.softmax_max);
  a.max_at = p.TokensOf(in.softmax_max);
  a.sum = prim::Data<float>(in.softmax_sum);
  a.sum_at = p.TokensOf(in.softmax_sum);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernels = {prim::kSlidingWindowAttentionUnits};
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  a.page_table = p.page_table.data();
  a.page_size = std::min(p.page_size, kMostPositions);
  a.kv_heads = p.kv_heads;
  a.group = p.group;
  a.window = p.window;
  a.scale = static_cast<float>(p.scale);
  a.element = prim::ElementOf(in.query.dtype);

  int64_t most_tokens = 1;
  for (const prim::TokenSequence& s : p.sequences) most_tokens = std::max(most_tokens, s.rows);
  a.tokens_per_item = TokensPerItem(p, most_tokens);
  p.kernel_sequences.clear();
  int64_t items = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    p.kernel_sequences.push_back(SequenceOf(p, s));
    p.kernel_sequences.back().item_begin = items;
    const int64_t more = prim::Times(base::CeilDiv(s.rows, a.tokens_per_item), p.kv_heads);
    items = prim::Plus(items, more);
  }
  a.sequences = p.kernel_sequences.data();
  a.sequence_count = static_cast<int64_t>(p.kernel_sequences.size());

  work->phases = {{items, kKernels.at(target.level, a.element)}};
  work->scratch_bytes = prim::Times(Scratch(a).total, sizeof(float));
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(p.args.tokens_per_item) + " tokens x " + std::to_string(p.group) +
         " heads of a kv head per item, tiles of " + std::to_string(kKeyTile) + " keys";
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  Cost cost;
  double query_key_pairs = 0;
  double rows = 0;
  double keys = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    rows += static_cast<double>(s.rows);
    if (s.padding) continue;
    for (int64_t i = 0; i < s.rows; ++i)
      query_key_pairs += static_cast<double>(std::min(s.Visible(i, true), p.window));
    // From the first key of the first window to the last token's own.
    const int64_t last = s.Visible(s.rows - 1, true);
    keys += static_cast<double>(last - std::max<int64_t>(0, s.Visible(0, true) - p.window));
  }
  const auto heads = static_cast<double>(p.kv_heads * p.group);
  const auto dims = static_cast<double>(p.qk_dim + p.v_dim);
  cost.flops = 2.0 * query_key_pairs * heads * dims;
  cost.read_bytes = 2.0 * keys * static_cast<double>(p.kv_heads) * dims +
                    2.0 * rows * heads * static_cast<double>(p.qk_dim);
  cost.write_bytes = rows * heads *
                     (2.0 * static_cast<double>(p.v_dim) + (in.softmax_max.absent() ? 0.0 : 4.0) +
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

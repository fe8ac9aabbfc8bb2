#include <string>
#include <utility>

#include "base/dtype.h"
#include "ops/sparse_flash_attention/cpu/grad_kernel_units.h"
#include "ops/sparse_flash_attention/grad_problem.h"
#include "prim/attention/tokens.h"
#include "prim/attention_grad/call.h"
#include "prim/attention_grad/tokens.h"
#include "prim/call/cost.h"
#include "prim/call/room.h"

namespace tamis::sparse_flash_attention_grad {
namespace {

// The forward that this is the gradient of.
sparse_flash_attention::Params ForwardOf(const Params& in) {
  using KvLayout = sparse_flash_attention::KvLayout;
  sparse_flash_attention::Params forward;
  forward.query = in.query;
  forward.key = in.key;
  forward.sparse_indices = in.sparse_indices;
  forward.value = in.value;
  forward.actual_seq_lengths_query = in.actual_seq_lengths_query;
  forward.actual_seq_lengths_kv = in.actual_seq_lengths_kv;
  forward.query_rope = in.query_rope;
  forward.key_rope = in.key_rope;
  forward.sinks = in.sinks;
  forward.key_starts = in.key_starts;
  forward.key_limits = in.key_limits;
  forward.scale_value = in.scale_value;
  forward.sparse_block_size = in.sparse_block_size;
  forward.layout_query = in.layout_query;
  forward.layout_kv = in.layout_kv == QueryLayout::kTnd ? KvLayout::kTnd : KvLayout::kBsnd;
  forward.sparse_mode = in.sparse_mode;
  return forward;
}

// Where the rotary part and a value of its own begin in a key's sums, and how many columns there
// are. Each begins a line: in a shared one NaN factors of the one would meet zeros of the other.
struct KeyColumns {
  int64_t rope;
  int64_t value;
  int64_t all;

  explicit KeyColumns(const sparse_flash_attention::Problem& p)
      : rope(prim::RoundedUp(p.latent_dim, prim::list_grad::kLine)),
        value(p.value_in_key ? 0 : rope + prim::RoundedUp(p.rope_dim, prim::list_grad::kLine)),
        all(p.value_in_key ? rope + p.rope_dim : value + p.latent_dim) {}
};

// What is added to the gradients of keys: of which rows, and to which columns.
void BindKeys(const sparse_flash_attention::Problem& p, const Params& in,
              prim::list_grad::Args* args) {
  using prim::attention::HeadsOf;
  prim::list_grad::Args& a = *args;
  a.piece_count = a.output_count = 0;
  const auto add_output = [&](const TensorView& view, int64_t dims, int64_t column) {
    const prim::attention::Rows rows = prim::attention::RowsOf(p, view);
    AddOutput({prim::attention_grad::GradRowsOf(rows), dims, column}, &a);
  };
  const KeyColumns columns(p);
  if (!in.key_grad.absent()) {
    AddPiece({HeadsOf(p, in.query), p.latent_dim, 0, kScoreGrads}, &a);
    add_output(in.key_grad, p.latent_dim, 0);
  }
  if (!in.key_rope_grad.absent()) {
    AddPiece({HeadsOf(p, in.query_rope), p.rope_dim, columns.rope, kScoreGrads}, &a);
    add_output(in.key_rope_grad, p.rope_dim, columns.rope);
  }
  const TensorView& of_values = p.value_in_key ? in.key_grad : in.value_grad;
  if (of_values.absent()) return;
  AddPiece({HeadsOf(p, in.out_grad), p.latent_dim, columns.value, kProbabilities}, &a);
  if (!p.value_in_key) add_output(in.value_grad, p.latent_dim, columns.value);
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  base::Dims& d = *dims;
  d.Set("W", d["D"]);
  sparse_flash_attention::Problem& p = problem->attention;
  TAMIS_RETURN_IF_ERROR(sparse_flash_attention::Room::Normalise(ForwardOf(params), dims, &p));
  p.value_in_key = params.value.absent();  // key as its own value has two gradients
  const int64_t sinks = params.sinks.absent() ? 0 : p.heads;
  d.Set("Rows", prim::Plus(prim::attention_grad::RowsOf(p, d), sinks));
  return Status::Ok();
}

void Room::Bind(const Problem& problem, const Params& in, KernelArgs* args) {
  using prim::attention::HeadsOf;
  const sparse_flash_attention::Problem& p = problem.attention;
  KernelArgs& a = *args;
  prim::attention::Args& attend = a.list.attend;
  attend.query = HeadsOf(p, in.query);
  attend.query_rope = HeadsOf(p, in.query_rope);
  prim::attention::Source& source = attend.sources[0];
  source.key = prim::attention::RowsOf(p, in.key);
  source.key_rope = prim::attention::RowsOf(p, in.key_rope);
  source.value = prim::attention::RowsOf(p, in.value);
  source.list.ids = prim::Data<const int32_t>(in.sparse_indices);
  source.list.at = p.TokensOf(in.sparse_indices);
  BindLimits(p, in.key_limits, &source);
  BindKeys(p, in, &a.list);
  a.out_grad = HeadsOf(p, in.out_grad);
  a.max = prim::Data<const float>(in.softmax_max);
  a.max_at = p.TokensOf(in.softmax_max);
  a.sum = prim::Data<const float>(in.softmax_sum);
  a.sum_at = p.TokensOf(in.softmax_sum);
  a.sinks = prim::Data<const float>(in.sinks);
  a.query_grad = HeadsOf(p, in.query_grad);
  a.query_rope_grad = HeadsOf(p, in.query_rope_grad);
  a.sinks_grad = prim::Data<float>(in.sinks_grad);
}

void Room::OnCpu(Problem& problem, const Params& in, const prim::CpuTarget& target,
                 prim::CpuWork* work) {
  static constexpr prim::KernelTable kQueries = {prim::kSparseFlashAttentionGradQueriesUnits};
  static constexpr prim::KernelTable kSinks = {prim::kSparseFlashAttentionGradSinksUnits};
  const sparse_flash_attention::Problem& p = problem.attention;
  prim::attention::Begin(&problem.forward);
  problem.forward.args = {};
  AddSequences(p, p.causal, &problem.forward);
  SetKeys(p, in.key, &problem);
  KernelArgs& a = problem.args;
  a = {};
  prim::attention::Args& attend = a.list.attend;
  attend = problem.forward.args;
  attend.group = p.heads;
  attend.dim = p.latent_dim;
  attend.rope_dim = p.rope_dim;
  attend.value_dim = p.latent_dim;
  attend.scale = static_cast<float>(p.scale);
  attend.element = prim::ElementOf(in.query.dtype);
  attend.value_in_key = p.value_in_key;
  attend.sources[0].list.slots = p.top_k;
  attend.sources[0].list.block = std::min(p.block_size, sparse_flash_attention::kMostBlock);
  Bind(problem, in, &a);
  a.list.tables = 2;
  a.list.columns = KeyColumns(p).all;
  for (const prim::TokenSequence& s : p.sequences) a.rows = std::max(a.rows, s.row_begin + s.rows);
  MakeWork(target, kQueries.at(target.level, attend.element), &problem, &a.list, work);
  work->scratch_bytes = std::max(work->scratch_bytes, prim::Times(Scratch(a).total, sizeof(float)));
  work->shared_bytes = prim::Times(Shared(a).total, sizeof(float));
  if (a.sinks_grad == nullptr) return;
  work->phases.push_back({.items = (p.heads + prim::list_grad::kLine - 1) / prim::list_grad::kLine,
                          .kernel = kSinks.at(target.level)});
}

prim::AttentionGradReference Room::ReferenceOf(const Problem& problem, const Params& in,
                                               const std::vector<int64_t>& rows,
                                               const prim::ForIndices& for_indices) {
  const sparse_flash_attention::Problem& p = problem.attention;
  const prim::attention_grad::Tensors tensors = {
      in.query,      in.key,         p.value_in_key ? in.key : in.value,
      in.out_grad,   in.softmax_max, in.softmax_sum,
      in.query_grad, in.key_grad,    in.value_grad};
  prim::GradCall call = ReferenceCall(
      p, tensors,
      [&p, forward = ForwardOf(in)](const prim::TokenSequence& s, int64_t token,
                                    int64_t /*kv_head*/) { return p.Selected(forward, s, token); });
  call.group = p.heads;
  call.scale = p.scale;
  call.query_rope = in.query_rope;
  call.key_rope = in.key_rope;
  call.sinks = in.sinks;
  call.value_in_key = p.value_in_key;
  return {std::move(call), rows, for_indices};
}

std::string Room::Blocking(const Problem& p) { return prim::list_grad::Blocking(p.args.list); }

// Five products, of which two over values; what is not wanted is not counted.
Cost Room::CountCost(const Problem& problem, const Params& in) {
  const sparse_flash_attention::Problem& p = problem.attention;
  const sparse_flash_attention::Params forward = ForwardOf(in);
  double pairs = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t seen = p.End(s, i, p.causal, TensorView()) - s.first;
      const int64_t most = std::min(seen, prim::Times(p.top_k, p.block_size));
      pairs += in.sparse_indices.data == nullptr
                   ? static_cast<double>(most)
                   : static_cast<double>(p.Selected(forward, s, i).size());
    }
  }
  const auto heads = static_cast<double>(p.heads);
  const auto dims = [](bool wanted, int64_t count) {
    return wanted ? static_cast<double>(count) : 0.0;
  };
  const double columns =
      dims(true, 2 * p.latent_dim + p.rope_dim) + dims(!in.query_grad.absent(), p.latent_dim) +
      dims(!in.query_rope_grad.absent(), p.rope_dim) + dims(!in.key_grad.absent(), p.latent_dim) +
      dims(!in.key_rope_grad.absent(), p.rope_dim) +
      dims(!(p.value_in_key ? in.key_grad : in.value_grad).absent(), p.latent_dim);
  Cost cost;
  cost.flops = 2 * pairs * heads * columns;
  cost.read_bytes =
      prim::CountBytes({&in.query, &in.key, &in.sparse_indices, &in.out_grad, &in.softmax_max,
                        &in.softmax_sum, &in.value, &in.query_rope, &in.key_rope, &in.sinks});
  cost.write_bytes = prim::CountBytes({&in.query_grad, &in.key_grad, &in.value_grad,
                                       &in.query_rope_grad, &in.key_rope_grad, &in.sinks_grad});
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::sparse_flash_attention_grad

#include "prim/compressed_attention/attention.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"

namespace tamis::prim {
namespace {

// Scores are kept up to this many bytes per worker. They are written once and read once, 8 bytes
// per 320 FMAs at the documents' shapes, so they may well leave the L2 cache; computing them twice
// would be 192 more FMAs.
constexpr int64_t kKeptScoreBytes = int64_t{4} << 20;

// The score of a hidden key: the lowest there is.
constexpr float kLowest = std::numeric_limits<float>::lowest();

// The tokens of the keys that the first query sees; of a sequence whose keys are not hidden by
// their position, more than there are.
attention::Sequence SequenceOf(const AttentionSequence& from) {
  attention::Sequence s = {.row_begin = from.row_begin,
                           .rows = from.rows,
                           .batch = from.batch,
                           .token = from.token,
                           .blocks = from.blocks};
  const bool hidden = from.visible_tokens >= 0;
  s.of[0] = {.keys = from.keys,
             .key_begin = from.key_begin,
             .table_offset = from.table_offset,
             .visible = hidden ? from.visible_tokens - from.rows + 1 : INT64_MAX,
             .visible_step = hidden ? 1 : 0};
  return s;
}

bool KeepScores(int64_t rows, int64_t keys, int64_t key_tile) {
  return Times(Times(rows, RoundedUp(keys, key_tile)), sizeof(float)) <= kKeptScoreBytes;
}

// Kv heads per item. Few rows leave little time for the next keys to arrive, and the rows of all
// heads, which lie side by side in memory, come faster than those of one. Items stay many enough
// for many threads, and kept scores within their bytes.
int64_t MembersOf(const AttentionProblem& p, int64_t rows) {
  constexpr int64_t kEnoughItems = 16;
  if (rows > attention::kRowsPerItem / 2) return 1;
  int64_t token_blocks = 0;
  for (const AttentionSequence& s : p.sequences)
    token_blocks = Plus(token_blocks, base::CeilDiv(s.rows, p.args.tokens_per_item));
  int64_t heads = attention::kMostMembers;
  while (heads > 1 &&
         (p.kv_heads % heads != 0 || Times(p.kv_heads / heads, token_blocks) < kEnoughItems ||
          (p.args.keep_scores && !KeepScores(rows * heads, p.args.max_keys, p.args.key_tile)))) {
    --heads;
  }
  return heads;
}

}  // namespace

Status CheckWindows(const WindowAttributes& a, AttentionProblem* problem) {
  if (a.compress_block_size <= 0)
    return base::Invalid("compress_block_size", "at least 1", a.compress_block_size);
  if (a.compress_stride <= 0)
    return base::Invalid("compress_stride", "at least 1", a.compress_stride);
  if (a.select_block_size <= 0)
    return base::Invalid("select_block_size", "at least 1", a.select_block_size);
  if (a.select_block_count < 0 || a.select_block_count > std::numeric_limits<int32_t>::max())
    return base::Invalid("select_block_count", "0 to 2^31 - 1", a.select_block_count);
  const std::string stride = std::to_string(a.compress_stride);
  if (a.compress_stride > a.compress_block_size) {
    return base::Invalid("compress_stride",
                         "at most compress_block_size = " + std::to_string(a.compress_block_size),
                         a.compress_stride);
  }
  if (a.select_block_size % a.compress_stride != 0) {
    return base::Invalid("select_block_size", "a multiple of compress_stride = " + stride,
                         a.select_block_size);
  }
  problem->compress_block = a.compress_block_size;
  problem->compress_stride = a.compress_stride;
  problem->top_k = a.select_block_count;
  // Of windows whose length is no multiple of the stride, importance counts whole strides (as the
  // device).
  problem->geometry = {a.select_block_size / a.compress_stride,
                       a.compress_block_size / a.compress_stride, a.exact_overlap ? 1 : 0};
  // The last token of the last block stays far from the end of int64.
  constexpr int64_t kLimit = int64_t{1} << 40;
  if (a.compress_block_size > kLimit)
    return base::Invalid("compress_block_size", "at most 2^40", a.compress_block_size);
  if (a.select_block_size > kLimit)
    return base::Invalid("select_block_size", "at most 2^40", a.select_block_size);
  return Status::Ok();
}

Status CheckGlobals(const TensorView& max, const TensorView& sum) {
  if (max.absent() == sum.absent()) return Status::Ok();
  return {StatusCode::kNullArgument, max.absent()
                                         ? "global_max: required with global_sum, but absent"
                                         : "global_sum: required with global_max, but "
                                           "absent"};
}

Status CheckBlocks(std::string_view argument, int64_t blocks) {
  constexpr int64_t kMostBlocks = int64_t{1} << 24;
  if (blocks <= kMostBlocks) return Status::Ok();
  return base::Invalid(argument, "lengths that give at most 2^24 select blocks", blocks);
}

attention::Rows RowsOf(const TensorView& view, bool paged, int64_t dim) {
  const int64_t bytes = base::ItemSize(view.dtype);
  attention::Rows rows = {.data = Data<const uint8_t>(view)};
  if (paged) {  // [pages, page_size, heads * dim]
    rows.page_stride = view.strides[0] * bytes;
    rows.row_stride = view.strides[1] * bytes;
    rows.head_stride = dim * bytes;
  } else {  // [keys, heads, dim]
    rows.row_stride = view.strides[0] * bytes;
    rows.head_stride = view.strides[1] * bytes;
  }
  return rows;
}

attention::Heads HeadsOf(const AttentionProblem& p, const TensorView& view) {
  return attention::HeadsOf(view, p.TokensOf(view), view.strides[p.query_batch_dims]);
}

double CountVisible(const AttentionProblem& p, const TensorView& mask, const AttentionSequence& s) {
  double visible = 0;
  for (int64_t t = 0; t < s.rows; ++t) {
    int64_t keys = s.keys;
    if (s.visible_tokens >= 0) {
      const int64_t tokens = s.visible_tokens - (s.rows - 1 - t);
      keys = tokens < p.compress_block
                 ? 0
                 : std::min(keys, (tokens - p.compress_block) / p.compress_stride + 1);
    }
    if (mask.data != nullptr && s.visible_tokens < 0) {
      const auto* row = Data<const uint8_t>(mask) + t * mask.strides[0];
      keys = std::count(row, row + s.keys, 0);
    }
    visible += static_cast<double>(keys);
  }
  return visible;
}

void BindHidden(const AttentionProblem& p, const TensorView& atten_mask,
                const TensorView& key_limits, attention::Source* source) {
  const bool paged = p.page_table.paged();
  source->hidden = paged ? nullptr : Data<const uint8_t>(atten_mask);
  source->hidden_stride = paged ? 0 : atten_mask.strides[0];
  source->limits = Data<const int32_t>(key_limits);
  source->limits_at = p.TokensOf(key_limits);
}

void FillSource(const AttentionProblem& p, const TensorView& query, attention::Call* call) {
  attention::Args& a = call->args;
  a.sources[0].staircase = {p.compress_block, p.compress_stride};
  a.kv_heads = p.kv_heads;
  a.group = p.group;
  a.dim = p.qk_dim;
  a.value_dim = p.v_dim;
  a.scale = static_cast<float>(p.scale);
  a.element = ElementOf(query.dtype);
  a.hidden_score = a.hidden_max = kLowest;
  a.zero_hidden_rows = p.zero_masked_rows;
  for (const AttentionSequence& s : p.sequences) {
    call->key_sequences.push_back(SequenceOf(s));
    a.max_keys = std::max(a.max_keys, s.keys);
  }
}

void CompressedAttentionRoom::BindTensors(const AttentionProblem& p, const AttentionTensors& in,
                                          attention::Args* args) {
  const bool paged = p.page_table.paged();
  attention::Args& a = *args;
  a.query = HeadsOf(p, in.query);
  attention::Source& source = a.sources[0];
  source.key = RowsOf(in.key, paged, p.qk_dim);
  source.value = RowsOf(in.value, paged, p.v_dim);
  BindHidden(p, in.atten_mask, in.key_limits, &source);
  a.out = HeadsOf(p, in.out);
  a.max = Data<float>(in.max);
  a.max_at = p.TokensOf(in.max);
  a.sum = Data<float>(in.sum);
  a.sum_at = p.TokensOf(in.sum);
  attention::Selection& selection = a.selection;
  selection.indices = p.top_k > 0 ? Data<int32_t>(in.topk) : nullptr;
  selection.scores = Data<float>(in.block_scores);
  selection.scores_at = p.TokensOf(in.block_scores);
  selection.scores_head_stride = in.block_scores.strides[p.query_batch_dims];
  selection.max = Data<const float>(in.global_max);
  selection.max_at = p.TokensOf(in.global_max);
  selection.sum = Data<const float>(in.global_sum);
  selection.sum_at = p.TokensOf(in.global_sum);
  selection.at = p.TokensOf(in.topk);
  selection.head_stride = in.topk.strides[p.query_batch_dims];
  selection.forced = Data<const uint8_t>(in.topk_mask);
  selection.forced_stride = in.topk_mask.strides[0];
}

void CompressedAttentionRoom::MakeWork(AttentionProblem& p, const AttentionTensors& in,
                                       const CpuTarget& target, CpuWork* work) {
  attention::Begin(&p);
  attention::Args& a = p.args;
  a.key_tile = kKeyTile;
  FillSource(p, in.query, &p);
  BindTensors(p, in, &a);
  a.sources[0].page_table = p.page_table.data();
  a.sources[0].page_size = std::min(p.page_size, attention::kMostPage);
  a.head_block = p.group;
  a.out_element = ElementOf(in.out.dtype);
  a.storage = p.storage;
  a.selection.count = p.top_k;
  a.selection.geometry = p.geometry;
  a.selection.force_ends = p.force_ends;
  a.selection.block_tokens = p.causal_selection ? p.select_block() : 0;

  int64_t most_tokens = 1;
  for (const AttentionSequence& s : p.sequences) {
    most_tokens = std::max(most_tokens, s.rows);
    a.max_blocks = std::max(a.max_blocks, s.blocks);
  }
  a.tokens_first = true;
  a.tokens_per_item =
      std::min(std::max<int64_t>(attention::kRowsPerItem / p.group, 1), most_tokens);
  // Whole vectors, or rows of a register tile where those are more.
  const int64_t rows = RoundedUp(Times(a.tokens_per_item, p.group),
                                 std::max<int64_t>(base::LanesOf(target.level), 4));
  a.selection.wanted = a.selection.indices != nullptr || a.selection.scores != nullptr;
  a.keep_scores = a.selection.wanted && KeepScores(rows, a.max_keys, a.key_tile);
  a.members = MembersOf(p, rows);
  attention::MakeWork(target, &p, work);
}

std::string CompressedAttentionRoom::Blocking(const AttentionProblem& p) {
  const attention::Args& a = p.args;
  return std::to_string(a.tokens_per_item) + " tokens x " + std::to_string(p.group) + " heads of " +
         std::to_string(a.members) + " kv heads per item, " +
         (!a.selection.wanted ? "no selection"
          : a.keep_scores
              ? "scores of " + std::to_string(a.max_keys) + " keys kept"
              : "two passes: scores of " + std::to_string(a.max_keys) + " keys computed again");
}

Cost CompressedAttentionRoom::CostOf(const AttentionProblem& p, const AttentionTensors& in) {
  Cost cost;
  const auto heads = static_cast<double>(p.kv_heads * p.group);
  double keys = 0;
  double rows = 0;
  for (const AttentionSequence& s : p.sequences) {
    cost.flops +=
        2.0 * CountVisible(p, in.atten_mask, s) * heads * static_cast<double>(p.qk_dim + p.v_dim);
    keys += static_cast<double>(s.rows > 0 ? s.keys : 0);
    rows += static_cast<double>(s.rows);
  }
  const auto dims = static_cast<double>(p.qk_dim + p.v_dim);
  const auto bytes = static_cast<double>(base::ItemSize(in.query.dtype));
  cost.read_bytes = bytes * rows * heads * static_cast<double>(p.qk_dim) +
                    bytes * keys * static_cast<double>(p.kv_heads) * dims;
  cost.write_bytes =
      static_cast<double>(base::ItemSize(in.out.dtype)) * rows * heads *
          static_cast<double>(p.v_dim) +
      4.0 * rows * static_cast<double>(p.kv_heads * (in.topk.absent() ? 0 : p.top_k)) +
      4.0 * rows * heads * ((in.max.absent() ? 0 : 1) + (in.sum.absent() ? 0 : 1)) +
      4.0 * rows * static_cast<double>(p.kv_heads) *
          static_cast<double>(in.block_scores.absent() ? 0 : p.args.max_blocks);
  return cost;
}

}  // namespace tamis::prim

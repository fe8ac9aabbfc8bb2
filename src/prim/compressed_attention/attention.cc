#include "prim/compressed_attention/attention.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "prim/compressed_attention/cpu/kernel_units.h"

namespace tamis::prim {
namespace {

// Rows (tokens x heads of a group) per item. Every K and V tile is widened once per item, which
// is work that more rows share; more rows also mean a larger tile of kept scores.
constexpr int64_t kRowsPerItem = 64;

// Scores are kept up to this many bytes per worker. They are written once and read once, 8 bytes
// per 320 FMAs at the documents' shapes, so they may well leave the L2 cache; computing them twice
// would be 192 more FMAs.
constexpr int64_t kKeptScoreBytes = int64_t{4} << 20;

KeyView ViewOf(const TensorView& view, bool paged, int64_t dim) {
  KeyView result = {};
  result.data = static_cast<const uint16_t*>(view.data);
  result.dim = dim;
  if (paged) {  // [pages, page_size, heads * dim]
    result.page_stride = view.strides[0];
    result.row_stride = view.strides[1];
    result.head_stride = dim;
  } else {  // [keys, heads, dim]
    result.row_stride = view.strides[0];
    result.head_stride = view.strides[1];
  }
  return result;
}

bool KeepScores(int64_t rows, int64_t keys) {
  return Times(Times(rows, RoundedUp(keys, kKeyTile)), sizeof(float)) <= kKeptScoreBytes;
}

// Kv heads per item. Few rows leave little time for the next keys to arrive, and the rows of all
// heads, which lie side by side in memory, come faster than those of one. Items stay many enough
// for many threads, and kept scores within their bytes.
int64_t HeadsPerItem(const AttentionProblem& p, const AttentionArgs& a, int64_t rows) {
  constexpr int64_t kEnoughItems = 16;
  if (rows > kRowsPerItem / 2) return 1;
  int64_t token_blocks = 0;
  for (const AttentionSequence& s : p.sequences)
    token_blocks = Plus(token_blocks, base::CeilDiv(s.rows, a.tokens_per_item));
  int64_t heads = kMostHeadsPerItem;
  while (heads > 1 &&
         (p.kv_heads % heads != 0 || Times(p.kv_heads / heads, token_blocks) < kEnoughItems ||
          (a.keep_scores && !KeepScores(rows * heads, a.max_keys)))) {
    --heads;
  }
  return heads;
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

Status CheckHeads(int64_t head_num, int64_t heads, int64_t kv_heads, AttentionProblem* problem) {
  if (head_num != heads) {
    return base::Invalid("head_num", "the heads of query = " + std::to_string(heads), head_num);
  }
  if (heads < 1) return base::Invalid("query", "at least 1 head", heads);
  if (kv_heads < 1) return base::Invalid("key", "at least 1 head", kv_heads);
  if (heads % kv_heads != 0) {
    return base::Invalid("head_num", "a multiple of the key heads = " + std::to_string(kv_heads),
                         heads);
  }
  problem->kv_heads = kv_heads;
  problem->group = heads / kv_heads;
  return Status::Ok();
}

Status CheckBlocks(std::string_view argument, int64_t blocks) {
  if (blocks <= std::numeric_limits<int32_t>::max()) return Status::Ok();
  return base::Invalid(argument, "lengths that give fewer than 2^31 select blocks", blocks);
}

void CompressedAttentionRoom::BindTensors(const AttentionProblem& p, const AttentionTensors& in,
                                          AttentionArgs* args) {
  const bool paged = p.page_table.paged();
  AttentionArgs& a = *args;
  a.query = Data<const uint16_t>(in.query);
  a.query_at = p.TokensOf(in.query);
  a.query_head_stride = in.query.strides[p.query_batch_dims];
  a.key = ViewOf(in.key, paged, p.qk_dim);
  a.value = ViewOf(in.value, paged, p.v_dim);
  a.atten_mask = paged ? nullptr : Data<const uint8_t>(in.atten_mask);
  a.atten_mask_stride = paged ? 0 : in.atten_mask.strides[0];
  a.topk_mask = Data<const uint8_t>(in.topk_mask);
  a.topk_mask_stride = in.topk_mask.strides[0];
  a.out = Data<uint16_t>(in.out);
  a.out_at = p.TokensOf(in.out);
  a.out_head_stride = in.out.strides[p.query_batch_dims];
  a.topk = p.top_k > 0 ? Data<int32_t>(in.topk) : nullptr;
  a.topk_at = p.TokensOf(in.topk);
  a.topk_head_stride = in.topk.strides[p.query_batch_dims];
  a.max = Data<float>(in.max);
  a.max_at = p.TokensOf(in.max);
  a.sum = Data<float>(in.sum);
  a.sum_at = p.TokensOf(in.sum);
}

void CompressedAttentionRoom::MakeWork(AttentionProblem& p, const AttentionTensors& in, Level level,
                                       CpuWork* work) {
  static constexpr KernelTable kKernels = {kCompressedAttentionUnits};
  AttentionArgs& a = p.args;
  a = {};
  BindTensors(p, in, &a);
  a.page_table = p.page_table.data();
  a.page_size = p.page_size;
  a.kv_heads = p.kv_heads;
  a.group = p.group;
  a.top_k = p.top_k;
  a.scale = static_cast<float>(p.scale);
  a.geometry = p.geometry;
  a.compress_block = p.compress_block;
  a.compress_stride = p.compress_stride;
  a.force_ends = p.force_ends;
  a.zero_masked_rows = p.zero_masked_rows;
  a.element = prim::ElementOf(in.query.dtype);
  a.storage = p.storage && base::Has(level, base::Feature::kInt16);

  // Lanes of a vector, or rows of a register tile where those are more: kRowMultiple of the
  // kernels.
  a.row_multiple = std::max<int64_t>(base::LanesOf(level), 4);
  int64_t most_tokens = 1;
  for (const AttentionSequence& s : p.sequences) {
    most_tokens = std::max(most_tokens, s.rows);
    a.max_keys = std::max(a.max_keys, s.keys);
    a.max_blocks = std::max(a.max_blocks, s.blocks);
  }
  a.tokens_per_item = std::min(std::max<int64_t>(kRowsPerItem / p.group, 1), most_tokens);
  const int64_t rows = RoundedUp(Times(a.tokens_per_item, p.group), a.row_multiple);
  a.keep_scores = a.topk != nullptr && KeepScores(rows, a.max_keys);
  a.heads_per_item = HeadsPerItem(p, a, rows);
  int64_t items = 0;
  for (AttentionSequence& s : p.sequences) {
    s.item_begin = items;
    const int64_t blocks = base::CeilDiv(s.rows, a.tokens_per_item);
    items = Plus(items, Times(blocks, p.kv_heads / a.heads_per_item));
  }
  a.sequences = p.sequences.data();
  a.sequence_count = static_cast<int64_t>(p.sequences.size());

  work->phases = {{items, kKernels.at(level, a.element)}};
  work->scratch_bytes = items > 0 ? Times(AttentionScratch(a).total, sizeof(float)) : 0;
}

std::string CompressedAttentionRoom::Blocking(const AttentionProblem& p) {
  const AttentionArgs& a = p.args;
  return std::to_string(a.tokens_per_item) + " tokens x " + std::to_string(p.group) + " heads of " +
         std::to_string(a.heads_per_item) + " kv heads per item, " +
         (a.topk == nullptr ? "no selection"
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
  cost.read_bytes = 2.0 * rows * heads * static_cast<double>(p.qk_dim) +
                    2.0 * keys * static_cast<double>(p.kv_heads) * dims;
  cost.write_bytes =
      2.0 * rows * heads * static_cast<double>(p.v_dim) +
      4.0 * rows * static_cast<double>(p.kv_heads * (in.topk.absent() ? 0 : p.top_k)) +
      4.0 * rows * heads * ((in.max.absent() ? 0 : 1) + (in.sum.absent() ? 0 : 1));
  return cost;
}

}  // namespace tamis::prim

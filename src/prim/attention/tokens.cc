#include "prim/attention/tokens.h"

#include <algorithm>

#include "base/dtype.h"

namespace tamis::prim::attention {
namespace {

SequenceKeys KeysOf(const TokenProblem& p, const TokenSequence& s, bool causal) {
  return {.keys = s.keys,
          .key_begin = s.key_begin,
          .table_offset = p.key_layout == TokenLayout::kPaged ? p.page_table.offset(s.batch) : 0,
          .first = s.first,
          .visible = causal ? s.tokens - s.rows + 1 : s.keys,
          .visible_step = causal ? 1 : 0};
}

Sequence SequenceOf(const TokenSequence& from) {
  return {.row_begin = from.row_begin,
          .rows = from.rows,
          .batch = from.batch,
          .token = from.token,
          .padding = from.padding};
}

}  // namespace

Heads HeadsOf(const TokenProblem& p, const TensorView& view) {
  if (view.absent()) return {};
  return HeadsOf(view, p.TokensOf(view), p.HeadStride(view));
}

Rows RowsOf(const TokenProblem& p, const TensorView& view) {
  if (view.absent()) return {};
  const int64_t bytes = base::ItemSize(view.dtype);
  const bool tnd = p.key_layout == TokenLayout::kTnd;
  const int row = tnd ? 0 : 1;
  return {.data = Data<const uint8_t>(view),
          .row_stride = view.strides[row] * bytes,
          .head_stride = view.strides[row + 1] * bytes,
          .page_stride = tnd ? 0 : view.strides[0] * bytes};
}

void BindLimits(const TokenProblem& p, const TensorView& limits, Source* source) {
  if (limits.absent()) return;
  source->limits = Data<const int32_t>(limits);
  source->limits_at = p.TokensOf(limits);
}

void SetPages(const TokenProblem& p, Source* source) {
  source->page_table = p.page_table.data();
  source->page_size = std::min(p.page_size, kMostPage);
}

void AddSequences(const TokenProblem& p, bool causal, Call* call) {
  for (const TokenSequence& s : p.sequences) {
    call->key_sequences.push_back(SequenceOf(s));
    call->key_sequences.back().of[0] = KeysOf(p, s, causal);
    call->args.max_keys = std::max(call->args.max_keys, s.keys);
  }
}

void AddSource(const TokenProblem& p, bool causal, Call* call) {
  const int64_t source = call->args.source_count++;
  for (size_t i = 0; i < p.sequences.size(); ++i)
    call->key_sequences[i].of[source] = KeysOf(p, p.sequences[i], causal);
}

}  // namespace tamis::prim::attention

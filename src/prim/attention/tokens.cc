#include "prim/attention/tokens.h"

#include <algorithm>

#include "base/dtype.h"

namespace tamis::prim::attention {
namespace {

Sequence SequenceOf(const TokenProblem& p, const TokenSequence& from, bool causal) {
  Sequence s = {.row_begin = from.row_begin,
                .rows = from.rows,
                .batch = from.batch,
                .token = from.token,
                .padding = from.padding};
  SequenceKeys& keys = s.of[0];
  keys.keys = from.keys;
  keys.key_begin = from.key_begin;
  keys.first = from.first;
  if (p.key_layout == TokenLayout::kPaged) keys.table_offset = p.page_table.offset(from.batch);
  keys.visible = causal ? from.tokens - from.rows + 1 : from.keys;
  keys.visible_step = causal ? 1 : 0;
  return s;
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
    call->key_sequences.push_back(SequenceOf(p, s, causal));
    call->args.max_keys = std::max(call->args.max_keys, s.keys);
  }
}

}  // namespace tamis::prim::attention

// Packed calls: lengths, heads and blocks, checked.
#include <algorithm>
#include <string>

#include "base/errors.h"
#include "ops/nsa_selected_attention/problem.h"
#include "prim/call/sequences.h"

namespace tamis::selected_attention {
namespace {

// Of a token's position, what it sees ends after: see TokenSequence::Visible.
int64_t TokensOf(int64_t sparse_mode, int64_t queries, int64_t keys) {
  return sparse_mode == 2 ? queries : keys;
}

}  // namespace

Status TakePacked(const PackedCall& call, base::Dims* dims, Sizes* sizes) {
  const base::Dims& d = *dims;
  Sizes& p = *sizes;
  TAMIS_RETURN_IF_ERROR(prim::CheckHeads(call.head_num, d["N"], d["N2"], &p));
  TAMIS_RETURN_IF_ERROR(CheckBlocks(call.block_size, call.block_count, d["K"], &p));
  if (call.sparse_mode != 0 && call.sparse_mode != 2 && call.sparse_mode != 3)
    return base::Invalid("sparse_mode", "0, 2 or 3", call.sparse_mode);
  TAMIS_RETURN_IF_ERROR(
      prim::SpansFromPrefix("actual_seq_qlen", call.query_lengths, d["T"], "T", &p.query_spans));
  TAMIS_RETURN_IF_ERROR(
      prim::SpansFromPrefix("actual_seq_kvlen", call.key_lengths, d["Tk"], "Tk", &p.key_spans));
  if (p.key_spans.size() != p.query_spans.size()) {
    return base::Invalid(
        "actual_seq_kvlen",
        "as many entries as actual_seq_qlen = " + std::to_string(p.query_spans.size()),
        static_cast<int64_t>(p.key_spans.size()));
  }
  p.padded_queries = false;
  p.key_layout = prim::TokenLayout::kTnd;
  p.page_table.NotPaged();
  p.sequences.clear();
  for (size_t b = 0; b < p.query_spans.size(); ++b) {
    const prim::Span& queries = p.query_spans[b];
    const prim::Span& keys = p.key_spans[b];
    if (keys.length > INT32_MAX)
      return base::Invalid("actual_seq_kvlen", "fewer than 2^31 keys per sequence", keys.length);
    if (queries.length == 0) continue;
    p.sequences.push_back({.row_begin = queries.begin,
                           .rows = queries.length,
                           .token = queries.begin,
                           .keys = keys.length,
                           .key_begin = keys.begin,
                           .tokens = TokensOf(call.sparse_mode, queries.length, keys.length)});
  }
  prim::AddEnds(p.query_spans, &dims->NewEnds("T"));
  int64_t shortest = p.key_spans.empty() ? 0 : INT64_MAX;
  for (const prim::Span& keys : p.key_spans) shortest = std::min(shortest, keys.length);
  dims->Set("B", static_cast<int64_t>(p.query_spans.size()));
  dims->Set("group", p.group);
  dims->Set("keys of the shortest sequence", shortest);
  p.qk_dim = d["D"];
  p.v_dim = d["D2"];
  p.causal = call.sparse_mode != 0;
  p.scale = call.scale;
  return Status::Ok();
}

}  // namespace tamis::selected_attention

#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/nsa_compress_attention/problem.h"
#include "prim/call/room.h"
#include "prim/call/sequences.h"

namespace tamis::nsa_compress_attention {
namespace {

Status CheckMask(const char* name, const TensorView& mask, int64_t rows, int64_t columns) {
  if (mask.absent() || (mask.shape[0] == rows && mask.shape[1] == columns)) return Status::Ok();
  return base::Invalid(
      name, "shape " + base::ShapeText({rows, columns}) + " (longest query x longest key side)",
      base::ShapeText(mask));
}

// The document wants prefix sums; what they count, nobody reads.
Status CheckSelectLengths(const IntList& lengths, size_t batch) {
  const char* const name = "actual_sel_seq_kvlen";
  if (lengths.absent()) return Status::Ok();  // the contract's to refuse
  const int64_t count = lengths.size();
  if (count != static_cast<int64_t>(batch)) {
    return base::Invalid(
        name, "(strict) as many entries as actual_seq_qlen = " + std::to_string(batch), count);
  }
  int64_t previous = 0;
  for (int64_t b = 0; b < count; ++b) {
    if (lengths.data()[b] < previous) {
      return base::Invalid(base::Indexed(name, b),
                           "(strict) a prefix sum of at least " + std::to_string(previous),
                           lengths.data()[b]);
    }
    previous = lengths.data()[b];
  }
  return Status::Ok();
}

// Raw tokens of each sequence, of a causal call.
Status FindRawTokens(const Params& params, const std::vector<prim::Span>& queries,
                     std::vector<prim::Span>* raw) {
  const char* const name = "actual_raw_seq_kvlen";
  *raw = queries;
  if (params.actual_raw_seq_kvlen.absent()) return Status::Ok();
  if (!params.causal) return base::Invalid(name, "none without causal", "a list");
  TAMIS_RETURN_IF_ERROR(prim::SpansFromPrefix(name, params.actual_raw_seq_kvlen, -1, "", raw));
  if (raw->size() == queries.size()) return Status::Ok();
  return base::Invalid(name,
                       "as many entries as actual_seq_qlen = " + std::to_string(queries.size()),
                       static_cast<int64_t>(raw->size()));
}

// Causal selection is by the query's position: it needs one, and forces blocks itself.
Status CheckSelection(const Params& params) {
  if (params.selection != Selection::kCausal) return Status::Ok();
  if (!params.causal) return base::Invalid("selection", "device without causal", "causal");
  if (params.topk_mask.absent()) return Status::Ok();
  return base::Invalid("topk_mask", "none with selection causal",
                       "shape " + base::ShapeText(params.topk_mask));
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  TAMIS_RETURN_IF_ERROR(prim::TakeCommon(params, *dims, (*dims)["N2"], problem));
  std::vector<prim::Span>& queries = problem->query_spans;
  std::vector<prim::Span>& keys = problem->key_spans;
  TAMIS_RETURN_IF_ERROR(prim::SpansFromPrefix("actual_seq_qlen", params.actual_seq_qlen,
                                              (*dims)["T"], "T", &queries));
  TAMIS_RETURN_IF_ERROR(prim::SpansFromPrefix("actual_cmp_seq_kvlen", params.actual_cmp_seq_kvlen,
                                              (*dims)["Tc"], "Tc", &keys));
  if (keys.size() != queries.size()) {
    return base::Invalid("actual_cmp_seq_kvlen",
                         "as many entries as actual_seq_qlen = " + std::to_string(queries.size()),
                         static_cast<int64_t>(keys.size()));
  }

  std::vector<prim::Span>& raw = problem->raw_spans;
  TAMIS_RETURN_IF_ERROR(FindRawTokens(params, queries, &raw));
  TAMIS_RETURN_IF_ERROR(CheckSelection(params));

  const char* const blocks_of = !problem->causal_selection             ? "actual_cmp_seq_kvlen"
                                : params.actual_raw_seq_kvlen.absent() ? "actual_seq_qlen"
                                                                       : "actual_raw_seq_kvlen";
  problem->sequences.clear();
  int64_t max_q = 0;
  int64_t max_n = 0;
  int64_t max_blocks = 0;
  int64_t min_n = queries.empty() ? 0 : INT64_MAX;
  for (size_t b = 0; b < queries.size(); ++b) {
    prim::AttentionSequence s = {};
    s.row_begin = queries[b].begin;
    s.rows = queries[b].length;
    s.token = s.row_begin;
    s.key_begin = keys[b].begin;
    s.keys = keys[b].length;
    s.blocks = problem->causal_selection ? base::CeilDiv(raw[b].length, problem->select_block())
                                         : base::CeilDiv(s.keys, problem->geometry.select_strides);
    s.visible_tokens = params.causal ? raw[b].length : -1;
    TAMIS_RETURN_IF_ERROR(prim::CheckBlocks(blocks_of, s.blocks));
    max_q = std::max(max_q, s.rows);
    max_n = std::max(max_n, s.keys);
    max_blocks = std::max(max_blocks, s.blocks);
    min_n = std::min(min_n, s.keys);
    problem->sequences.push_back(s);
  }
  TAMIS_RETURN_IF_ERROR(CheckMask("atten_mask", params.atten_mask, max_q, max_n));
  TAMIS_RETURN_IF_ERROR(CheckMask("topk_mask", params.topk_mask, max_q,
                                  base::CeilDiv(max_n, problem->geometry.select_strides)));
  prim::AddEnds(queries, &dims->NewEnds("T"));
  dims->Set("B", static_cast<int64_t>(queries.size()));
  dims->Set("blocks", max_blocks);
  if (params.strict)
    TAMIS_RETURN_IF_ERROR(CheckSelectLengths(params.actual_sel_seq_kvlen, queries.size()));
  dims->Set("keys of the shortest sequence", min_n);

  return Status::Ok();
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_compress_attention

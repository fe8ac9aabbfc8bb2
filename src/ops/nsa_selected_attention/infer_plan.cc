#include <algorithm>
#include <string>

#include "base/errors.h"
#include "ops/nsa_selected_attention/problem.h"
#include "prim/call/room.h"
#include "prim/call/sequences.h"

namespace tamis::nsa_selected_attention_infer {
namespace {

// [pages, page, heads * dim] as [pages, page, heads, dim].
TensorView ByHead(const TensorView& view, int64_t heads) {
  const int64_t dim = view.shape[2] / heads;
  TensorView by_head(view.data, view.dtype, {view.shape[0], view.shape[1], heads, dim});
  by_head.strides[0] = view.strides[0];
  by_head.strides[1] = view.strides[1];
  by_head.strides[2] = dim;
  return by_head;
}

selected_attention::Tensors TensorsOf(const selected_attention::Problem& p, const Params& in) {
  return {in.query,        ByHead(in.key, p.kv_heads), ByHead(in.value, p.kv_heads),
          in.topk_indices, in.attention_out,           in.softmax_max,
          in.softmax_sum};
}

// Query tokens and keys of each sequence.
Status ReadLengths(const Params& params, const base::Dims& d, selected_attention::Problem* p) {
  const int64_t batch = d["B"];
  const bool padded = params.layout == Layout::kBsnd;
  TAMIS_RETURN_IF_ERROR(prim::SpansFromCountsOf(batch, "actual_seq_kvlen", params.actual_seq_kvlen,
                                                -1, "", &p->key_spans));
  if (params.actual_seq_qlen.absent()) {
    if (!padded && d["T"] != batch) {
      return base::Invalid(
          "query", "one row per sequence = " + std::to_string(batch) + " without actual_seq_qlen",
          d["T"]);
    }
    if (padded && batch > 0 && d["S"] < 1) {
      return base::Invalid("query", "at least one row per sequence without actual_seq_qlen",
                           d["S"]);
    }
    p->query_spans.assign(static_cast<size_t>(batch), {0, 1});
    return Status::Ok();
  }
  TAMIS_RETURN_IF_ERROR(prim::SpansFromCountsOf(batch, "actual_seq_qlen", params.actual_seq_qlen,
                                                padded ? -1 : d["T"], "T", &p->query_spans));
  for (size_t b = 0; padded && b < p->query_spans.size(); ++b) {
    if (p->query_spans[b].length <= d["S"]) continue;
    return base::Invalid(base::Indexed("actual_seq_qlen", static_cast<int64_t>(b)),
                         "at most S = " + std::to_string(d["S"]), p->query_spans[b].length);
  }
  return Status::Ok();
}

Status FindSequences(const Params& params, base::Dims* dims, selected_attention::Problem* p) {
  const bool padded = params.layout == Layout::kBsnd;
  const int64_t padded_rows = padded ? (*dims)["S"] : 0;
  p->page_table.Begin(static_cast<int64_t>(p->query_spans.size()));
  p->sequences.clear();
  std::vector<int64_t>* const ends = padded ? nullptr : &dims->NewEnds("T");
  int64_t row = 0;
  const auto add = [&](int64_t batch, int64_t token, int64_t rows, int64_t keys, bool padding) {
    if (rows <= 0) return;
    p->sequences.push_back({.row_begin = row,
                            .rows = rows,
                            .batch = batch,
                            .token = padded ? token : row,
                            .keys = keys,
                            .tokens = keys,
                            .padding = padding});
    row += rows;
  };
  for (size_t i = 0; i < p->query_spans.size(); ++i) {
    const auto b = static_cast<int64_t>(i);
    const int64_t queries = p->query_spans[i].length;
    const int64_t keys = p->key_spans[i].length;
    if (keys > INT32_MAX)
      return base::Invalid(base::Indexed("actual_seq_kvlen", b), "fewer than 2^31 keys", keys);
    if (queries > 0) {
      TAMIS_RETURN_IF_ERROR(p->page_table.Read(params.block_table, b, keys, params.page_block_size,
                                               (*dims)["pages"]));
    }
    add(b, 0, queries, keys, false);
    add(b, queries, padded_rows - queries, 0, true);
    if (ends != nullptr) ends->push_back(row);
  }
  return Status::Ok();
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  Problem& p = *problem;
  if (params.key_value_head_num < 1)
    return base::Invalid("key_value_head_num", "at least 1", params.key_value_head_num);
  if (params.page_block_size < 1)
    return base::Invalid("page_block_size", "at least 1", params.page_block_size);
  TAMIS_RETURN_IF_ERROR(prim::CheckHeads(params.head_num, d["N"], params.key_value_head_num, &p));
  TAMIS_RETURN_IF_ERROR(
      CheckBlocks(params.select_block_size, params.select_block_count, d["K"], &p));
  p.padded_queries = params.layout == Layout::kBsnd;
  p.key_layout = prim::TokenLayout::kPaged;
  p.page_size = params.page_block_size;
  TAMIS_RETURN_IF_ERROR(ReadLengths(params, d, &p));
  TAMIS_RETURN_IF_ERROR(FindSequences(params, dims, &p));
  int64_t most_tokens = p.padded_queries ? d["S"] : 0;
  for (const prim::Span& queries : p.query_spans)
    most_tokens = std::max(most_tokens, queries.length);
  dims->Set("tokens of a step", most_tokens);
  dims->Set("group", p.group);
  p.qk_dim = d["D"];
  p.v_dim = d["D2"];
  p.scale = params.scale_value;
  p.storage = params.accuracy != Accuracy::kFp32 && params.query.dtype != DType::kFloat32;
  return Status::Ok();
}

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  ReferenceRowOf(p, TensorsOf(p, in), row, slot, golden);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  MakeWork(p, TensorsOf(p, in), target, work);
}

void Room::Bind(const Problem& p, const Params& in, prim::attention::Args* args) {
  BindTensors(p, TensorsOf(p, in), args);
}

Cost Room::CountCost(const Problem& p, const Params& in) { return CostOf(p, TensorsOf(p, in)); }

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_selected_attention_infer

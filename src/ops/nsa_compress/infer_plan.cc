#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/nsa_compress/problem.h"
#include "prim/call/cache_slots.h"
#include "prim/call/room.h"
#include "prim/call/sequences.h"

namespace tamis::nsa_compress_infer {
namespace {

// Tokens of every sequence, and which of them are new.
Status ReadLengths(const Params& params, const base::Dims& d, Problem* p) {
  const int64_t batch = d["B"];
  TAMIS_RETURN_IF_ERROR(
      prim::SpansFromCountsOf(batch, "act_seq_len", params.act_seq_len, -1, "", &p->spans));
  p->lengths.clear();
  for (const prim::Span& span : p->spans) p->lengths.push_back(span.length);
  if (params.actual_seq_qlen.absent()) {
    if (d["T"] != batch) {
      return base::Invalid(
          "slot_mapping",
          "one entry per sequence = " + std::to_string(batch) + " without actual_seq_qlen", d["T"]);
    }
    p->new_tokens.clear();
    for (int64_t b = 0; b < batch; ++b) p->new_tokens.push_back({b, 1});
    return Status::Ok();
  }
  TAMIS_RETURN_IF_ERROR(prim::SpansFromCountsOf(batch, "actual_seq_qlen", params.actual_seq_qlen,
                                                d["T"], "T", &p->new_tokens));
  for (size_t b = 0; b < p->lengths.size(); ++b) {
    if (p->new_tokens[b].length <= p->lengths[b]) continue;
    const auto i = static_cast<int64_t>(b);
    return base::Invalid(
        base::Indexed("actual_seq_qlen", i),
        "at most " + base::Indexed("act_seq_len", i) + " = " + std::to_string(p->lengths[b]),
        p->new_tokens[b].length);
  }
  return Status::Ok();
}

// Which tokens write which rows of the cache.
Status ReadSlots(const Params& params, int64_t capacity, Problem* p) {
  p->slots.clear();
  for (size_t b = 0; b < p->new_tokens.size(); ++b) {
    for (int64_t i = 0; i < p->new_tokens[b].length; ++i) {
      const int64_t token = p->new_tokens[b].begin + i;
      const int64_t begin = p->WindowBegin(b, token);
      int64_t& slot = p->slots.emplace_back(-1);
      if (begin < 0 || begin % p->stride != 0) continue;
      TAMIS_RETURN_IF_ERROR(
          prim::ReadSlot("slot_mapping", params.slot_mapping, 0, token, capacity, &slot));
    }
  }
  prim::KeepLastOfEach(&p->slots, &p->order);
  return Status::Ok();
}

// The windows of a sequence that are written, as runs, and the pages that hold them.
Status FindWindows(const Params& params, size_t b, int64_t pages, Problem* p) {
  const size_t first_run = p->sequences.size();
  int64_t end = 0;
  for (int64_t i = 0; i < p->new_tokens[b].length; ++i) {
    const int64_t token = p->new_tokens[b].begin + i;
    const int64_t slot = p->slots[static_cast<size_t>(token)];
    if (slot < 0) continue;
    const int64_t begin = p->WindowBegin(b, token);
    p->rows.push_back(slot);
    if (p->sequences.size() == first_run || begin + p->block != end + p->stride)
      p->sequences.push_back({begin, p->windows, 0, 0});
    ++p->sequences.back().windows;
    ++p->windows;
    end = begin + p->block;
  }
  if (p->sequences.size() == first_run) return Status::Ok();
  const auto sequence = static_cast<int64_t>(b);
  TAMIS_RETURN_IF_ERROR(p->page_table.Read(params.block_table, sequence, end, p->page_size, pages,
                                           p->sequences[first_run].token_begin));
  for (size_t run = first_run; run < p->sequences.size(); ++run)
    p->sequences[run].table_offset = p->page_table.offset(sequence);
  return Status::Ok();
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  Problem& p = *problem;
  TAMIS_RETURN_IF_ERROR(
      nsa_compress::CheckWindows(params.compress_block_size, params.compress_stride, d, &p));
  if (params.page_block_size < 1)
    return base::Invalid("page_block_size", "at least 1", params.page_block_size);
  p.page_size = params.page_block_size;
  TAMIS_RETURN_IF_ERROR(ReadLengths(params, d, &p));
  TAMIS_RETURN_IF_ERROR(ReadSlots(params, d["R"], &p));
  p.rows.clear();
  p.page_table.Begin(d["B"]);
  for (size_t b = 0; b < p.lengths.size(); ++b)
    TAMIS_RETURN_IF_ERROR(FindWindows(params, b, d["pages"], &p));
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, nsa_compress::KernelArgs* args) {
  args->input = in.input.data;
  args->input_page_stride = in.input.strides[0];
  args->input_token_stride = in.input.strides[1];
  args->input_head_stride = in.input.strides[2];
  args->weight = in.weight.data;
  args->weight_row_stride = in.weight.strides[0];
  args->output = in.cache.data;
  args->output_row_stride = in.cache.strides[0];
  args->output_head_stride = in.cache.strides[1];
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  p.args = {};
  Bind(p, in, &p.args);
  p.args.table = p.page_table.data();
  p.args.page_size = p.page_size;
  p.args.output_rows = p.rows.data();
  // A step has few windows: each worker gets its share.
  const int64_t share = std::max<int64_t>(base::CeilDiv(p.windows, target.threads), 1);
  MakeWork(p, in.input.dtype, std::min(share, MostWindowsOfAnItem(p, in.input.dtype)), target,
           work);
}

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t token, size_t slot,
                        base::Golden* golden) {
  base::GoldenOutput& output = golden->outputs[0];
  output.rows[slot] = p.slots[static_cast<size_t>(token)];
  if (output.rows[slot] < 0) return;
  size_t b = 0;
  while (p.new_tokens[b].begin + p.new_tokens[b].length <= token) ++b;
  std::vector<int64_t> tokens;
  for (int64_t w = 0; w < p.block; ++w) {
    const int64_t position = p.WindowBegin(b, token) + w;
    const int64_t page = p.page_table.page(static_cast<int64_t>(b), position / p.page_size);
    tokens.push_back(page * in.input.strides[0] + position % p.page_size * in.input.strides[1]);
  }
  PutWindow(p, in.input, tokens, in.input.strides[2], in.weight, slot, &output);
}

Cost Room::CountCost(const Problem& p, const Params& in) { return CostOf(p, in.input.dtype); }

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_compress_infer

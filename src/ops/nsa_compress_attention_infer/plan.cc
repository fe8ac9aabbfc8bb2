#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/nsa_compress_attention_infer/problem.h"
#include "prim/call/room.h"
#include "prim/call/sequences.h"

namespace tamis::nsa_compress_attention_infer {
namespace {

// The four sources of lengths, against each other and the shapes.
Status ReadLengths(const Params& params, const base::Dims& dims, Problem* problem) {
  std::vector<Lengths>* const lengths = &problem->lengths;
  std::vector<prim::Span>& spans = problem->key_spans;
  const int64_t batch = dims["B"];
  const bool padded = params.layout == Layout::kBsnd;
  TAMIS_RETURN_IF_ERROR(prim::SpansFromCountsOf(batch, "actual_cmp_seq_kvlen",
                                                params.actual_cmp_seq_kvlen, -1, "", &spans));
  lengths->assign(static_cast<size_t>(batch), {});
  for (size_t b = 0; b < lengths->size(); ++b) (*lengths)[b].keys = spans[b].length;

  if (params.actual_seq_qlen.absent()) {
    if (!padded && dims["T"] != batch) {
      return base::Invalid(
          "query", "one row per sequence = " + std::to_string(batch) + " without actual_seq_qlen",
          dims["T"]);
    }
    if (padded && batch > 0 && dims["S"] < 1) {
      return base::Invalid("query", "at least one row per sequence without actual_seq_qlen",
                           dims["S"]);
    }
    for (Lengths& l : *lengths) l.queries = 1;
  } else {
    TAMIS_RETURN_IF_ERROR(prim::SpansFromCountsOf(batch, "actual_seq_qlen", params.actual_seq_qlen,
                                                  padded ? -1 : dims["T"], "T", &spans));
    for (size_t b = 0; b < lengths->size(); ++b) {
      (*lengths)[b].queries = spans[b].length;
      if (padded && spans[b].length > dims["S"]) {
        return base::Invalid(base::Indexed("actual_seq_qlen", static_cast<int64_t>(b)),
                             "at most S = " + std::to_string(dims["S"]), spans[b].length);
      }
    }
  }

  if (params.actual_sel_seq_kvlen.absent()) {
    const bool causal = params.selection == Selection::kCausal;
    if (params.atten_mask.absent() && !causal) return Status::Ok();
    return {StatusCode::kNullArgument, std::string("actual_sel_seq_kvlen: required with ") +
                                           (causal ? "selection causal" : "atten_mask") +
                                           ", but absent"};
  }
  TAMIS_RETURN_IF_ERROR(prim::SpansFromCountsOf(batch, "actual_sel_seq_kvlen",
                                                params.actual_sel_seq_kvlen, -1, "", &spans));
  for (size_t b = 0; b < lengths->size(); ++b) (*lengths)[b].tokens = spans[b].length;
  return Status::Ok();
}

// With several query tokens the two key lengths must agree; a single token is taken as it comes (as
// on the device).
Status CheckAgreement(const Params& params, const std::vector<Lengths>& lengths) {
  const bool several =
      std::any_of(lengths.begin(), lengths.end(), [](const Lengths& l) { return l.queries > 1; });
  for (size_t b = 0; several && b < lengths.size(); ++b) {
    const Lengths& l = lengths[b];
    if (l.tokens < 0) continue;
    const int64_t windows =
        l.tokens < params.compress_block_size
            ? 0
            : (l.tokens - params.compress_block_size) / params.compress_stride + 1;
    if (l.keys != windows) {
      return base::Invalid(base::Indexed("actual_cmp_seq_kvlen", static_cast<int64_t>(b)),
                           "the " + std::to_string(windows) +
                               " windows of actual_sel_seq_kvlen = " + std::to_string(l.tokens) +
                               " tokens (several query tokens)",
                           l.keys);
    }
  }
  return Status::Ok();
}

// J: the last window reaches ceil(((n - 1) d + l) / l') blocks; causal candidates reach to the last
// token.
int64_t CountBlocks(const prim::AttentionProblem& problem, const Lengths& lengths) {
  if (problem.causal_selection) return base::CeilDiv(lengths.tokens, problem.select_block());
  if (lengths.keys == 0) return 0;
  const int64_t strides = base::CeilDiv(problem.compress_block, problem.compress_stride);
  return base::CeilDiv(lengths.keys - 1 + strides, problem.geometry.select_strides);
}

// What the document asks of steps of several query tokens.
Status CheckSteps(const Params& params, int64_t tokens_of_a_step,
                  const std::vector<Lengths>& lengths) {
  if (tokens_of_a_step <= 1) return Status::Ok();
  if (params.actual_sel_seq_kvlen.absent()) {
    return base::Invalid("actual_sel_seq_kvlen", "(strict) a list where a step has several tokens",
                         "none");
  }
  for (size_t b = 0; b < lengths.size(); ++b) {
    const Lengths& l = lengths[b];
    if (l.queries <= l.tokens) continue;
    const auto i = static_cast<int64_t>(b);
    return base::Invalid(base::Indexed("actual_seq_qlen", i),
                         "(strict) at most " + base::Indexed("actual_sel_seq_kvlen", i) + " = " +
                             std::to_string(l.tokens),
                         l.queries);
  }
  return Status::Ok();
}

// Tokens of the longest sequence, as given, or as many as its compressed keys can stand for: a
// token more than d - 1 past the last window would have made another one.
int64_t LongestSequence(const Params& params, const std::vector<Lengths>& lengths) {
  int64_t longest = 0;
  for (const Lengths& l : lengths) {
    int64_t tokens = l.tokens;
    if (params.actual_sel_seq_kvlen.absent() &&
        (!base::CheckedMul(l.keys, params.compress_stride, &tokens) ||
         !base::CheckedAdd(tokens, params.compress_block_size - 1, &tokens))) {
      tokens = INT64_MAX;
    }
    longest = std::max(longest, tokens);
  }
  return longest;
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const bool padded = params.layout == Layout::kBsnd;
  if (params.key_value_head_num < 1) {
    return base::Invalid("key_value_head_num", "at least 1", params.key_value_head_num);
  }
  if (params.page_block_size < 1)
    return base::Invalid("page_block_size", "at least 1", params.page_block_size);
  TAMIS_RETURN_IF_ERROR(prim::TakeCommon(params, *dims, params.key_value_head_num, problem));
  TAMIS_RETURN_IF_ERROR(ReadLengths(params, *dims, problem));
  const std::vector<Lengths>& lengths = problem->lengths;
  TAMIS_RETURN_IF_ERROR(CheckAgreement(params, lengths));
  problem->page_table.Begin(static_cast<int64_t>(lengths.size()));
  for (size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b].queries == 0) continue;
    TAMIS_RETURN_IF_ERROR(problem->page_table.Read(params.block_table, static_cast<int64_t>(b),
                                                   lengths[b].keys, params.page_block_size,
                                                   (*dims)["pages"]));
  }

  problem->sequences.clear();
  std::vector<int64_t>* const ends = padded ? nullptr : &dims->NewEnds("T");
  int64_t row = 0;
  int64_t max_q = 0;
  int64_t min_n = lengths.empty() ? 0 : INT64_MAX;
  const auto add = [&](int64_t batch, int64_t token, int64_t rows) -> prim::AttentionSequence& {
    prim::AttentionSequence s = {};
    s.row_begin = row;
    s.rows = rows;
    s.batch = batch;
    s.token = padded ? token : row;
    s.visible_tokens = -1;
    row += rows;
    problem->sequences.push_back(s);
    return problem->sequences.back();
  };
  for (size_t i = 0; i < lengths.size(); ++i) {
    const Lengths& l = lengths[i];
    const auto b = static_cast<int64_t>(i);
    prim::AttentionSequence& s = add(b, 0, l.queries);
    s.keys = l.keys;
    s.table_offset = problem->page_table.offset(b);
    s.blocks = CountBlocks(*problem, l);
    if (!params.atten_mask.absent() || problem->causal_selection) s.visible_tokens = l.tokens;
    TAMIS_RETURN_IF_ERROR(prim::CheckBlocks(
        problem->causal_selection ? "actual_sel_seq_kvlen" : "actual_cmp_seq_kvlen", s.blocks));
    max_q = std::max(max_q, l.queries);
    min_n = std::min(min_n, s.keys);
    // Padding rows are rows without keys.
    if (padded && l.queries < (*dims)["S"]) add(b, l.queries, (*dims)["S"] - l.queries);
    if (ends != nullptr) ends->push_back(row);
  }
  const int64_t tokens_of_a_step = padded ? (*dims)["S"] : max_q;
  if (params.strict) TAMIS_RETURN_IF_ERROR(CheckSteps(params, tokens_of_a_step, lengths));
  int64_t most_blocks = 0;
  for (const prim::AttentionSequence& s : problem->sequences)
    most_blocks = std::max(most_blocks, s.blocks);
  dims->Set("blocks", most_blocks);
  dims->Set("tokens of a step", tokens_of_a_step);
  dims->Set("group", problem->group);
  dims->Set("keys of the shortest sequence", min_n);
  dims->Set("tokens of the longest sequence", LongestSequence(params, lengths));

  problem->query_batch_dims = padded ? 2 : 1;
  problem->page_size = params.page_block_size;
  problem->force_ends = true;
  return Status::Ok();
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::nsa_compress_attention_infer

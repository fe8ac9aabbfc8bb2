#include "prim/call/token_sequences.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "prim/call/sequences.h"
#include "prim/call/work.h"

namespace tamis::prim {
namespace {

// A batch of sequences without elements is the caller's word alone: these keep the plan below half
// a gigabyte.
constexpr int64_t kMostSequences = int64_t{1} << 22;

// One length per entry of the batch: given, a single one for all, or absent for `whole`.
Status Counts(const char* name, const TensorView& lengths, int64_t batch, int64_t whole,
              bool broadcast, std::vector<Span>* spans) {
  spans->assign(static_cast<size_t>(batch), Span{0, whole});
  if (lengths.absent()) return Status::Ok();
  const bool one_for_all = broadcast && lengths.shape[0] == 1;
  if (lengths.shape[0] != batch && !one_for_all) {
    return base::Invalid(name, "one entry per sequence = " + std::to_string(batch),
                         lengths.shape[0]);
  }
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t i = one_for_all ? 0 : b;
    const int64_t length = LengthAt(lengths, i);
    if (length < 0 || (whole >= 0 && length > whole)) {
      return base::Invalid(
          base::Indexed(name, i),
          whole >= 0 ? "a length in [0, " + std::to_string(whole) + "]" : "a length of at least 0",
          length);
    }
    (*spans)[static_cast<size_t>(b)].length = length;
  }
  return Status::Ok();
}

// Inclusive prefix sums that may end before `total`: what follows is padding.
Status Prefixes(const char* name, const TensorView& lengths, int64_t total,
                std::vector<Span>* spans) {
  if (lengths.absent()) {
    return {StatusCode::kNullArgument,
            std::string(name) + ": required with layout TND, but absent"};
  }
  spans->clear();
  int64_t end = 0;
  for (int64_t i = 0; i < lengths.shape[0]; ++i) {
    const int64_t next = LengthAt(lengths, i);
    if (next < end || next > total) {
      return base::Invalid(
          base::Indexed(name, i),
          "a prefix sum in [" + std::to_string(end) + ", " + std::to_string(total) + "]", next);
    }
    spans->push_back({end, next - end});
    end = next;
  }
  return Status::Ok();
}

Status QuerySpans(const TokenLengths& l, const base::Dims& d, std::vector<Span>* spans) {
  const char* const name = "actual_seq_lengths_query";
  if (l.query_layout == TokenLayout::kTnd) return Prefixes(name, l.query_lengths, d["T1"], spans);
  if (d["B"] > kMostSequences) return base::Invalid(l.query, "at most 2^22 sequences", d["B"]);
  return Counts(name, l.query_lengths, d["B"], d["S1"], true, spans);
}

Status KeySpans(const TokenLengths& l, const base::Dims& d, int64_t batch,
                std::vector<Span>* spans) {
  const bool paged = l.key_layout == TokenLayout::kPaged;
  if (paged == l.block_table.absent()) {
    return paged ? Status(StatusCode::kNullArgument,
                          std::string(l.names.table) + ": required with layout PA_BSND, but absent")
                 : base::Invalid(l.names.table, "none without layout PA_BSND", "a tensor");
  }
  if (paged) {
    if (l.key_lengths.absent()) {
      return {StatusCode::kNullArgument,
              std::string(l.names.lengths) + ": required with layout PA_BSND, but absent"};
    }
    if (l.block_table.shape[0] != batch) {
      return base::Invalid(l.names.table, "one row per sequence = " + std::to_string(batch),
                           l.block_table.shape[0]);
    }
    return Counts(l.names.lengths, l.key_lengths, batch, -1, true, spans);
  }
  if (l.key_layout != l.query_layout) {
    return base::Invalid(l.names.layout, "the layout of query, or PA_BSND", "another");
  }
  if (l.key_layout == TokenLayout::kTnd) {
    TAMIS_RETURN_IF_ERROR(Prefixes(l.names.lengths, l.key_lengths, d[l.names.packed], spans));
    if (static_cast<int64_t>(spans->size()) != batch) {
      return base::Invalid(l.names.lengths, "one entry per sequence = " + std::to_string(batch),
                           static_cast<int64_t>(spans->size()));
    }
    return Status::Ok();
  }
  if (d[l.names.batch] != batch)
    return base::Invalid(l.names.tensor, "a batch of " + std::to_string(batch), d[l.names.batch]);
  return Counts(l.names.lengths, l.key_lengths, batch, d[l.names.padded], true, spans);
}

// The length of each span is where its sequence's keys begin to count.
Status Starts(const TokenLengths& l, const std::vector<Span>& keys, std::vector<Span>* starts) {
  const char* const name = l.names.starts;
  TAMIS_RETURN_IF_ERROR(
      Counts(name, l.key_starts, static_cast<int64_t>(keys.size()), -1, true, starts));
  for (size_t b = 0; b < keys.size() && l.key_starts.absent(); ++b) (*starts)[b].length = 0;
  for (size_t b = 0; b < keys.size(); ++b) {
    if ((*starts)[b].length <= keys[b].length) continue;
    return base::Invalid(
        base::Indexed(name, l.key_starts.shape[0] == 1 ? 0 : static_cast<int64_t>(b)),
        "at most the sequence's keys = " + std::to_string(keys[b].length), (*starts)[b].length);
  }
  return Status::Ok();
}

// Where a key stands for several tokens, how many there are: the query's own, unless given.
Status RawTokens(const TokenLengths& l, const std::vector<Span>& queries, std::vector<Span>* raw) {
  const char* const name = "actual_seq_lengths_tokens";
  if (l.key_tokens < 1) return base::Invalid("compress_ratio", "at least 1", l.key_tokens);
  if (l.key_tokens == 1 && !l.token_lengths.absent())
    return base::Invalid(name, "none with compress_ratio 1", "a tensor");
  if (l.token_lengths.absent()) {
    *raw = queries;
    return Status::Ok();
  }
  return Counts(name, l.token_lengths, static_cast<int64_t>(queries.size()), -1, true, raw);
}

}  // namespace

int64_t LengthAt(const TensorView& lengths, int64_t i) {
  return lengths.dtype == DType::kInt32 ? static_cast<const int32_t*>(lengths.data)[i]
                                        : static_cast<const int64_t*>(lengths.data)[i];
}

int64_t TokenProblem::End(const TokenSequence& s, int64_t i, bool causal,
                          const TensorView& limits) const {
  if (s.padding) return s.first;
  int64_t end = s.Visible(i, causal);
  if (!limits.absent())
    end = std::min<int64_t>(end, Data<const int32_t>(limits)[TokenOffset(limits, s, i)]);
  return std::max(end, s.first);
}

KeyPlace TokenProblem::PlaceOf(const TensorView& view, const TokenSequence& s,
                               int64_t position) const {
  if (key_layout == TokenLayout::kTnd)
    return {0, s.key_begin + position, view.shape[0], view.strides[0]};
  const bool paged = key_layout == TokenLayout::kPaged;
  const int64_t page = paged ? page_table.page(s.batch, position / page_size) : s.batch;
  const int64_t slot = paged ? position % page_size : position;
  return {page * view.strides[0], slot, view.shape[1], view.strides[1]};
}

int64_t TokenProblem::KeyOffset(const TensorView& view, const TokenSequence& s,
                                int64_t position) const {
  const KeyPlace place = PlaceOf(view, s, position);
  return place.page + place.slot * place.stride;
}

Status FindSequences(const TokenLengths& l, base::Dims* dims, TokenProblem* problem) {
  const base::Dims& d = *dims;
  const bool padded = l.query_layout == TokenLayout::kBsnd;
  problem->padded_queries = padded;
  problem->key_layout = l.key_layout;
  problem->page_size = d[l.names.page_size];
  if (l.key_layout == TokenLayout::kPaged && problem->page_size < 1)
    return base::Invalid(l.names.tensor, "pages of at least 1 key", problem->page_size);
  std::vector<Span>& queries = problem->query_spans;
  std::vector<Span>& keys = problem->key_spans;
  TAMIS_RETURN_IF_ERROR(QuerySpans(l, d, &queries));
  if (!padded) AddEnds(queries, &dims->NewEnds("T1"));
  const auto batch = static_cast<int64_t>(queries.size());
  TAMIS_RETURN_IF_ERROR(KeySpans(l, d, batch, &keys));
  std::vector<Span>& starts = problem->start_spans;
  TAMIS_RETURN_IF_ERROR(Starts(l, keys, &starts));
  std::vector<Span>& raw = problem->token_spans;
  TAMIS_RETURN_IF_ERROR(RawTokens(l, queries, &raw));
  problem->key_tokens = l.key_tokens;
  PageTable& table = problem->page_table;
  if (l.key_layout == TokenLayout::kPaged) {
    table.Begin(batch);
  } else {
    table.NotPaged();
  }
  std::vector<TokenSequence>& sequences = problem->sequences;
  sequences.clear();
  int64_t row = 0;
  const auto add = [&](int64_t b, int64_t token, int64_t rows, const Span* key_span) {
    if (rows == 0) return;
    TokenSequence s;
    s.row_begin = row;
    s.rows = rows;
    s.batch = b;
    s.token = token;
    s.padding = key_span == nullptr;
    if (key_span != nullptr) {
      s.keys = key_span->length;
      s.first = starts[static_cast<size_t>(b)].length;
      s.key_tokens = l.key_tokens;
      s.tokens = l.key_tokens == 1 ? s.keys : raw[static_cast<size_t>(b)].length;
      s.key_begin = key_span->begin;
    }
    sequences.push_back(s);
    row += rows;
  };
  const int64_t tokens = padded ? d["S1"] : d["T1"];
  for (int64_t b = 0; b < batch; ++b) {
    const auto i = static_cast<size_t>(b);
    if (l.key_layout == TokenLayout::kPaged && queries[i].length > 0) {
      // The first query's own position ends its window, unless a limit does.
      const int64_t visible = std::max<int64_t>(0, keys[i].length - queries[i].length + 1);
      const int64_t begin = l.limited ? 0 : visible - std::min(visible, l.window);
      const int64_t first = std::max(begin, starts[i].length);
      TAMIS_RETURN_IF_ERROR(table.Read(l.block_table, b, keys[i].length, problem->page_size,
                                       d[l.names.pages], first, l.names.table));
    }
    add(b, padded ? 0 : queries[i].begin, queries[i].length, &keys[i]);
    if (padded) add(b, queries[i].length, tokens - queries[i].length, nullptr);
  }
  if (!padded) add(0, row, tokens - row, nullptr);
  for (const TokenSequence& s : sequences) {
    if (s.keys > std::numeric_limits<int32_t>::max())
      return base::Invalid(l.names.lengths, "fewer than 2^31 keys per sequence", s.keys);
  }
  return Status::Ok();
}

}  // namespace tamis::prim

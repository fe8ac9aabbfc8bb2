#include <algorithm>
#include <limits>
#include <string>
#include <tuple>
#include <utility>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/sparse_flash_attention/problem.h"
#include "prim/attention/tokens.h"
#include "prim/call/room.h"

namespace tamis::sparse_flash_attention {
namespace {

// Of 64 keys, out would be read and written twice as often, for 5% of the time; 128 keys of 576
// dims are 300 KB, which with out and the queries is what L2 holds.
constexpr int64_t kHeadBlock = 128;

// Rotary channels in keys of kv_format flashmla584, their last ones.
constexpr int64_t kRopeInKey = 64;

Status CheckAttributes(const Params& params) {
  if (params.sparse_block_size < 1)
    return base::Invalid("sparse_block_size", "at least 1", params.sparse_block_size);
  if (params.sparse_mode != 0 && params.sparse_mode != 3)
    return base::Invalid("sparse_mode", "0 or 3", params.sparse_mode);
  return Status::Ok();
}

// Keys in two tensors of 16 bits.
Status CheckSplitKeys(const Params& params, const base::Dims& dims) {
  if (params.key.dtype != params.query.dtype) {
    return base::Invalid("key",
                         "dtype " + std::string(base::Name(params.query.dtype)) + " as query",
                         base::Name(params.key.dtype));
  }
  if (params.query_rope.absent() != params.key_rope.absent()) {
    const bool query = params.query_rope.absent();
    return {StatusCode::kNullArgument, std::string(query ? "query_rope: required with key_rope"
                                                         : "key_rope: required with "
                                                           "query_rope") +
                                           ", but absent"};
  }
  if (dims["W"] != dims["D"])
    return base::Invalid("key", "a last dimension D = " + std::to_string(dims["D"]), dims["W"]);
  return Status::Ok();
}

// Keys in rows of bytes: their latent and rotary part, D and Dr, or both together D.
Status CheckByteRows(const Params& params, const base::Dims& dims, Problem* problem) {
  if (params.key.dtype != DType::kUInt8 && params.key.dtype != DType::kInt8)
    return base::Invalid("key", "dtype uint8 or int8 with this kv_format",
                         base::Name(params.key.dtype));
  const bool whole = params.kv_format == KvFormat::kFlashMla584;
  if (whole && !params.query_rope.absent()) {
    return base::Invalid("query_rope", "none with this kv_format: the last 64 channels of query",
                         "a tensor");
  }
  if (!whole && params.query_rope.absent())
    return {StatusCode::kNullArgument, "query_rope: required with this kv_format, but absent"};
  if (!params.key_rope.absent())
    return base::Invalid("key_rope", "none with this kv_format: rows of key hold it", "a tensor");
  const int64_t dim = dims["D"];
  prim::KvRow& row = problem->kv_row;
  row = whole ? prim::KvRow::FlashMlaApart(dim - kRopeInKey, kRopeInKey)
        : params.kv_format == KvFormat::kCann656 ? prim::KvRow::Cann(dim, dims["Dr"])
                                                 : prim::KvRow::FlashMla(dim, dims["Dr"]);
  if (row.latent_dim < 0 || row.latent_dim % row.group != 0) {
    return base::Invalid("query",
                         "D a multiple of " + std::to_string(row.group) +
                             (whole ? ", at least 64," : "") + " with this kv_format",
                         dim);
  }
  problem->byte_rows = true;
  if (params.query.dtype == DType::kFloat16) row.rope = prim::Element::kFloat16;
  if (dims["W"] != row.width()) {
    return base::Invalid("key",
                         std::string("rows of ") +
                             (whole ? "(D - 64) + 128 + (D - 64) / 64 + 1" : "D + 2 Dr + D / 32") +
                             " = " + std::to_string(row.width()) + " bytes",
                         dims["W"]);
  }
  return Status::Ok();
}

// Where scales lie apart, a page (BSND: a sequence; TND: the tensor) has its rows side by side.
Status CheckDensePages(const Problem& p, const char* name, const TensorView& key) {
  if (!p.kv_row.scales_apart || key.absent()) return Status::Ok();
  const int row = key.rank - 3;
  if (key.shape[row] <= 1 || key.strides[row] == p.kv_row.width()) return Status::Ok();
  return base::Invalid(
      name, "dense pages with this kv_format, rows of stride " + std::to_string(p.kv_row.width()),
      key.strides[row]);
}

// Whoever gives key as the value, as the document has it, reads and prepares its rows once. Without
// addresses the two are two.
bool IsSame(const TensorView& a, const TensorView& b) {
  return a.data != nullptr && a.data == b.data && a.rank == b.rank &&
         std::equal(a.shape, a.shape + a.rank, b.shape) &&
         std::equal(a.strides, a.strides + a.rank, b.strides);
}

bool ValuesAreKeys(const Params& params) {
  if (params.value.absent()) return true;
  return IsSame(params.value, params.key) &&
         (params.window_key.absent() || IsSame(params.window_value, params.window_key));
}

// What the document prints beyond single arguments and products of sizes.
Status CheckStrict(const Params& params, const base::Dims& dims, int64_t batch) {
  if (params.layout_kv == KvLayout::kTnd)
    return base::Invalid("layout_kv", "(strict) BSND or PA_BSND", "TND");
  const std::pair<const char*, const TensorView*> lengths[] = {
      {"actual_seq_lengths_query", &params.actual_seq_lengths_query},
      {"actual_seq_lengths_kv", &params.actual_seq_lengths_kv}};
  for (const auto& [name, view] : lengths) {
    if (!view->absent() && view->shape[0] != batch)
      return base::Invalid(name, "(strict) one entry per sequence = " + std::to_string(batch),
                           view->shape[0]);
  }
  if (params.layout_kv != KvLayout::kPaBsnd) return Status::Ok();
  int64_t longest = 0;  // of sequences without queries, too
  for (int64_t b = 0; b < batch; ++b)
    longest = std::max(longest, prim::LengthAt(params.actual_seq_lengths_kv, b));
  const int64_t pages = base::CeilDiv(longest, dims["page_size"]);
  if (params.block_table.shape[1] < pages) {
    return base::Invalid("block_table",
                         "(strict) at least " + std::to_string(pages) +
                             " columns, the pages of the longest sequence",
                         params.block_table.shape[1]);
  }
  return Status::Ok();
}

prim::TokenLengths QueryLengthsOf(const Params& params) {
  prim::TokenLengths lengths;
  lengths.query_layout = prim::LayoutOf(params.layout_query);
  lengths.key_layout = prim::LayoutOf(params.layout_kv);
  lengths.query_lengths = params.actual_seq_lengths_query;
  return lengths;
}

Status FindSequences(const Params& params, base::Dims* dims, Problem* problem) {
  prim::TokenLengths lengths = QueryLengthsOf(params);
  lengths.key_lengths = params.actual_seq_lengths_kv;
  lengths.block_table = params.block_table;
  lengths.key_starts = params.key_starts;
  lengths.limited = !params.key_limits.absent();
  lengths.key_tokens = params.compress_ratio;
  lengths.token_lengths = params.actual_seq_lengths_tokens;
  return prim::FindSequences(lengths, dims, problem);
}

// What says nothing without window_key.
Status CheckNoWindow(const Params& params) {
  const std::pair<const char*, const TensorView*> others[] = {
      {"window_key_rope", &params.window_key_rope},
      {"window_value", &params.window_value},
      {"window_block_table", &params.window_block_table},
      {"actual_seq_lengths_window", &params.actual_seq_lengths_window},
      {"window_starts", &params.window_starts}};
  for (const auto& [name, view] : others) {
    if (!view->absent()) return base::Invalid(name, "none without window_key", "a tensor");
  }
  if (params.window_size != -1)
    return base::Invalid("window_size", "-1 without window_key", params.window_size);
  return Status::Ok();
}

// Whether a part of the window's keys is there if and only if the list's is.
Status CheckPart(const char* name, const TensorView& part, const char* with,
                 const TensorView& key_part) {
  if (part.absent() == key_part.absent()) return Status::Ok();
  if (!part.absent()) return base::Invalid(name, std::string("none without ") + with, "a tensor");
  return {StatusCode::kNullArgument,
          std::string(name) + ": required with window_key and " + with + ", but absent"};
}

Status FindWindow(const Params& params, base::Dims* dims, Problem* problem) {
  problem->with_window = !params.window_key.absent();
  problem->window.page_table.NotPaged();
  if (!problem->with_window) return CheckNoWindow(params);
  if (params.window_size < -1)
    return base::Invalid("window_size", "at least -1", params.window_size);
  TAMIS_RETURN_IF_ERROR(
      CheckPart("window_key_rope", params.window_key_rope, "key_rope", params.key_rope));
  TAMIS_RETURN_IF_ERROR(CheckPart("window_value", params.window_value, "value", params.value));
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  problem->window_size = params.window_size < 0 ? kAll : params.window_size;
  prim::TokenLengths lengths = QueryLengthsOf(params);
  lengths.names = prim::kWindowNames;
  lengths.key_lengths = params.actual_seq_lengths_window;
  lengths.block_table = params.window_block_table;
  lengths.key_starts = params.window_starts;
  lengths.window = problem->window_size;
  return prim::FindSequences(lengths, dims, &problem->window);
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  TAMIS_RETURN_IF_ERROR(CheckAttributes(params));
  if (params.kv_format == KvFormat::kSplit) {
    TAMIS_RETURN_IF_ERROR(CheckSplitKeys(params, d));
    problem->value_in_key = ValuesAreKeys(params);
  } else {
    TAMIS_RETURN_IF_ERROR(CheckByteRows(params, d, problem));
    TAMIS_RETURN_IF_ERROR(CheckStrides(*problem, params));
  }
  TAMIS_RETURN_IF_ERROR(FindSequences(params, dims, problem));
  TAMIS_RETURN_IF_ERROR(FindWindow(params, dims, problem));
  const int64_t batch = problem->padded_queries ? d["B"] : params.actual_seq_lengths_query.shape[0];
  if (params.strict) TAMIS_RETURN_IF_ERROR(CheckStrict(params, d, batch));
  int64_t rows = 0;
  for (const prim::TokenSequence& s : problem->sequences) rows += s.rows;
  dims->Set("rows", rows);

  problem->heads = d["N"];
  problem->latent_dim = d["D"];
  problem->rope_dim = params.query_rope.absent() ? 0 : d["Dr"];
  problem->top_k = d["K"];
  problem->block_size = params.sparse_block_size;
  problem->causal = params.sparse_mode == 3;
  problem->scale = params.scale_value;
  problem->storage = params.accuracy != Accuracy::kFp32 && params.query.dtype != DType::kFloat32;
  problem->integer_scores = problem->storage && params.accuracy != Accuracy::kFp32Scores &&
                            !problem->byte_rows && params.softmax_max.absent() &&
                            params.softmax_sum.absent();
  return Status::Ok();
}

Status Room::CheckStrides(const Problem& p, const Params& in) {
  TAMIS_RETURN_IF_ERROR(CheckDensePages(p, "key", in.key));
  TAMIS_RETURN_IF_ERROR(CheckDensePages(p, "window_key", in.window_key));
  const std::tuple<const char*, const TensorView*, const char*, const TensorView*> values[] = {
      {"value", &in.value, "key", &in.key},
      {"window_value", &in.window_value, "window_key", &in.window_key}};
  for (const auto& [name, value, key_name, key] : values) {
    if (value->absent()) continue;
    if (p.byte_rows && value->data != key->data) {
      return base::Invalid(name,
                           "none, or " + std::string(key_name) + " itself, with this kv_format",
                           "another tensor");
    }
    if (!p.byte_rows && p.value_in_key && !IsSame(*value, *key)) {
      return base::Invalid(name, std::string(key_name) + " itself, as when the plan was made",
                           "another tensor");
    }
  }
  return Status::Ok();
}

namespace {

// Rows of keys of one source. Scales apart are rows beside those.
void BindKeys(const Problem& p, const prim::TokenProblem& at, const TensorView& key,
              const TensorView& rope, const TensorView& value, prim::attention::Source* source) {
  source->key = prim::attention::RowsOf(at, key);
  source->key_rope = prim::attention::RowsOf(at, rope);
  if (!p.value_in_key) source->value = prim::attention::RowsOf(at, value);
  if (!p.kv_row.scales_apart || key.absent()) return;
  source->key_rope = source->key;
  source->key.row_stride = p.kv_row.row_bytes();
  source->key_rope.row_stride = p.kv_row.scale_bytes();
  source->key_rope.data += p.kv_row.ScalesAt(0, key.shape[key.rank - 3], 0);
}

}  // namespace

void Room::Bind(const Problem& p, const Params& in, prim::attention::Args* args) {
  prim::attention::Args& a = *args;
  a.query = HeadsOf(p, in.query);
  a.query_rope = HeadsOf(p, in.query_rope);
  prim::attention::Source& source = a.sources[0];
  BindKeys(p, p, in.key, in.key_rope, in.value, &source);
  source.list.ids = prim::Data<const int32_t>(in.sparse_indices);
  source.list.at = p.TokensOf(in.sparse_indices);
  BindLimits(p, in.key_limits, &source);
  if (p.with_window) {
    BindKeys(p, p.window, in.window_key, in.window_key_rope, in.window_value, &a.sources[1]);
  }
  a.sinks = prim::Data<const float>(in.sinks);
  a.out = HeadsOf(p, in.out);
  a.max = prim::Data<float>(in.softmax_max);
  a.max_at = p.TokensOf(in.softmax_max);
  a.sum = prim::Data<float>(in.softmax_sum);
  a.sum_at = p.TokensOf(in.softmax_sum);
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  prim::attention::Begin(&p);
  prim::attention::Args& a = p.args;
  Bind(p, in, &a);
  SetPages(p, &a.sources[0]);
  if (p.causal) a.sources[0].staircase = {p.key_tokens, p.key_tokens};
  a.sources[0].list.slots = p.top_k;
  a.sources[0].list.block = std::min(p.block_size, kMostBlock);
  AddSequences(p, p.causal, &p);
  if (p.with_window) {
    SetPages(p.window, &a.sources[1]);
    a.sources[1].window = p.window_size;
    AddSource(p.window, true, &p);
  }
  a.group = p.heads;
  a.dim = p.latent_dim;
  a.rope_dim = p.rope_dim;
  a.value_dim = p.latent_dim;
  a.scale = static_cast<float>(p.scale);
  a.element = prim::ElementOf(in.query.dtype);
  a.out_element = prim::ElementOf(in.out.dtype);
  a.value_in_key = p.value_in_key;
  a.byte_rows = p.byte_rows;
  a.kv_row = p.kv_row;
  a.storage = p.storage;
  a.int16_scores = p.integer_scores;
  a.least_int16_heads = base::LanesOf(target.level) == 16 ? 8 : 4;
  a.key_tile = kKeyTile;
  a.segmented = true;
  prim::attention::CutHeads(kHeadBlock, &a);
  MakeWork(target, &p, work);
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(p.args.head_block) + " heads per item, tiles of " +
         std::to_string(kKeyTile) + " keys, segments of " +
         std::to_string(prim::attention::kSegment) +
         (p.args.tasks != nullptr ? " on several workers" : "");
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  Cost cost;
  double query_key_pairs = 0;
  double rows = 0;
  for (size_t at = 0; at < p.sequences.size(); ++at) {
    const prim::TokenSequence& s = p.sequences[at];
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t seen = p.End(s, i, p.causal, TensorView()) - s.first;
      const int64_t most = std::min(seen, prim::Times(p.top_k, p.block_size));
      query_key_pairs += in.sparse_indices.data == nullptr
                             ? static_cast<double>(most)
                             : static_cast<double>(p.Selected(in, s, i).size());
      const prim::attention::Range window = p.Window(at, i);
      query_key_pairs += static_cast<double>(window.end - window.begin);
    }
    rows += static_cast<double>(s.rows);
  }
  const auto heads = static_cast<double>(p.heads);
  const auto latent = static_cast<double>(p.latent_dim);
  const auto dim = static_cast<double>(p.latent_dim + p.rope_dim);
  const auto bytes = static_cast<double>(base::ItemSize(in.query.dtype));
  const double key_bytes = p.byte_rows ? static_cast<double>(p.kv_row.width())
                                       : bytes * (dim + (p.value_in_key ? 0.0 : latent));
  cost.flops = 2.0 * query_key_pairs * heads * (dim + latent);
  cost.read_bytes = query_key_pairs * key_bytes + bytes * rows * heads * dim +
                    4.0 * rows * static_cast<double>(p.top_k);
  cost.write_bytes =
      rows * heads *
      (static_cast<double>(base::ItemSize(in.out.dtype)) * latent +
       (in.softmax_max.absent() ? 0.0 : 4.0) + (in.softmax_sum.absent() ? 0.0 : 4.0));
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::sparse_flash_attention

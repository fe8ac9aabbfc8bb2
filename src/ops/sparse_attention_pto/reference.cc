// The composition in float64, token by token. Every operator rounds its results to the dtype of x:
// these roundings belong to the operator. The caches are taken as they are but for the rows that
// this call writes, so it does not matter whether the call has run.
//
// Tolerance: an evaluation in fp32 may round an intermediate the other way, and one such step in a
// query moves all of its logits. In 16 bits the bounds are the family's own (relative 0.03,
// absolute 1e-4, for all but one element in a thousand), given the same selection; they are not
// derived like those of the four operators, which judge each step by itself. In fp32, where a step
// is 2^-24, they hold for every element; at the document's sizes a quarter was seen at most.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/dtype.h"
#include "base/errors.h"
#include "ops/sparse_attention_pto/problem.h"
#include "parallel/parallel.h"
#include "prim/call/cache_slots.h"
#include "prim/call/scratch.h"

namespace tamis::sparse_attention_pto {
namespace {

struct Tolerance {
  double relative;
  double absolute;
  double outliers;
};
Tolerance ToleranceOf(DType dtype) {
  if (dtype == DType::kFloat32) return {.relative = 1e-5, .absolute = 1e-5, .outliers = 0};
  return {.relative = 0.03, .absolute = 1e-4, .outliers = 1e-3};
}

const Context kReference = {.threads = 1, .implementation = Implementation::kReference};

// Memory of a dense tensor.
class Dense {
 public:
  Dense(DType dtype, std::initializer_list<int64_t> shape) : view_(nullptr, dtype, shape) {
    int64_t bytes = base::ItemSize(dtype);
    for (int64_t size : shape) bytes = prim::Times(bytes, size);
    bytes_.resize(static_cast<size_t>(bytes) + 1);  // throws where that is no size
    view_.data = bytes_.data();
  }
  const OutputView& view() const { return view_; }
  double At(int64_t index) const { return base::LoadAsDouble(view_.data, view_.dtype, index); }

 private:
  std::vector<unsigned char> bytes_;
  OutputView view_;
};

// The rows that the call writes, token by token: a cache of one page.
struct NewRows {
  explicit NewRows(const Problem& p)
      : count(p.batch * p.tokens),
        kv(p.params.x.dtype, {1, count, 1, p.latent_dim}),
        kr(p.params.x.dtype, {1, count, 1, p.rope_dim}),
        index_k(p.params.x.dtype, {1, count, 1, p.index_dim}) {}

  int64_t count;
  Dense kv, kr, index_k;
  std::vector<int64_t> slots;           // per token; -1: not written
  std::map<int64_t, int64_t> token_of;  // by slot
};

Status MakeNewRows(const Problem& p, NewRows* rows) {
  const Params& params = p.params;
  std::vector<size_t> order;
  TAMIS_RETURN_IF_ERROR(prim::CacheSlots(params.cache_index,
                                         params.kv_cache.shape[0] * params.kv_cache.shape[1],
                                         &rows->slots, &order));
  for (size_t t = 0; t < rows->slots.size(); ++t) {
    if (rows->slots[t] >= 0) rows->token_of[rows->slots[t]] = static_cast<int64_t>(t);
  }
  if (rows->count == 0) return Status::Ok();
  std::vector<int64_t> own(static_cast<size_t>(rows->count));
  for (size_t t = 0; t < own.size(); ++t) own[t] = static_cast<int64_t>(t);
  CacheCalls calls = CacheCallsOf(p, p.params);
  calls.mla.cache_index = calls.indexer.cache_index =
      TensorView(own.data(), DType::kInt64, {p.batch, p.tokens});
  calls.mla.kv_cache = rows->kv.view();
  calls.mla.kr_cache = rows->kr.view();
  calls.indexer.index_k_cache = rows->index_k.view();
  TAMIS_RETURN_IF_ERROR(mla_prolog::run(calls.mla, kReference));
  return indexer_prolog::run(calls.indexer, kReference);
}

// The first `count` rows of a sequence from a paged cache, with the call's own rows in place.
void CopyRows(const Problem& p, const NewRows& rows, int64_t b, int64_t count,
              const TensorView& cache, const Dense& written, const Dense& to) {
  const TensorView& table_view = p.params.block_table;
  const auto* table = static_cast<const int32_t*>(table_view.data) + b * table_view.strides[0];
  const int64_t page_size = cache.shape[1];
  const int64_t bytes = base::ItemSize(cache.dtype);
  const int64_t width = cache.shape[3] * bytes;
  for (int64_t j = 0; j < count; ++j) {
    const int64_t slot = table[j / page_size] * page_size + j % page_size;
    const auto found = rows.token_of.find(slot);
    const char* from =
        found == rows.token_of.end()
            ? static_cast<const char*>(cache.data) + OffsetOf(prim::PagesOf(cache), slot) * bytes
            : static_cast<const char*>(written.view().data) + found->second * width;
    std::copy_n(from, width, static_cast<char*>(to.view().data) + j * width);
  }
}

Chunk OneToken(int64_t sequence, int64_t token) {
  return {.first = sequence, .batch = 1, .token = token, .tokens = 1};
}

// One token's calls: queries by the prologs, then selection and attention over dense keys.
struct TokenCalls {
  TokenCalls(const Problem& p, int64_t b, int64_t token)
      : visible(p.Visible(b, token)),
        kv(p.params.x.dtype, {1, visible, 1, p.latent_dim}),
        kr(p.params.x.dtype, {1, visible, 1, p.rope_dim}),
        index_k(p.params.x.dtype, {1, visible, 1, p.index_dim}),
        every(DType::kInt32, {1, 1, 1, visible}),
        scores(DType::kFloat32, {1, 1, 1, visible}),
        chosen(DType::kInt32, {1, 1, 1, p.params.sparse_count}),
        out(p.params.x.dtype, {1, 1, p.heads, p.latent_dim}),
        between(static_cast<size_t>(
            ChunkCallsOf(p, p.params, OneToken(b, token), false, nullptr).workspace_bytes)),
        calls(ChunkCallsOf(p, p.params, OneToken(b, token), false, between.data())) {}

  int64_t visible;
  Dense kv, kr, index_k;
  Dense every;   // all positions, best first
  Dense scores;  // theirs
  Dense chosen;
  Dense out;
  std::vector<char> between;
  ChunkCalls calls;
};

Status Select(const Problem& p, TokenCalls* t) {
  lightning_indexer::Params& select = t->calls.select;
  select.key = t->index_k.view();
  select.layout_key = lightning_indexer::KeyLayout::kBsnd;
  select.block_table = select.actual_seq_lengths_key = {};
  select.sparse_mode = 0;
  select.sparse_count = t->visible;
  select.return_value = true;
  select.value_dtype = lightning_indexer::ValueDtype::kFloat32;
  select.sparse_indices = t->every.view();
  select.sparse_values = t->scores.view();
  TAMIS_RETURN_IF_ERROR(lightning_indexer::run(select, kReference));
  for (int64_t i = 0; i < p.params.sparse_count; ++i) {
    base::StoreDouble(t->chosen.view().data, DType::kInt32, i,
                      i < t->visible ? t->every.At(i) : -1.0);
  }
  return Status::Ok();
}

Status Attend(TokenCalls* t, const TensorView& indices) {
  sparse_flash_attention::Params& attend = t->calls.attend;
  attend.key = t->kv.view();
  attend.key_rope = t->kr.view();
  attend.layout_kv = sparse_flash_attention::KvLayout::kBsnd;
  attend.block_table = attend.actual_seq_lengths_kv = {};
  attend.sparse_mode = 0;
  attend.sparse_indices = indices;
  attend.out = t->out.view();
  return sparse_flash_attention::run(attend, kReference);
}

// How far scores may move where queries, keys and weights are rounded the other way: each factor of
// a term by half a unit in the last place or so, independently; 8 standard deviations.
double ScoreBound(const Problem& p, const TokenCalls& t) {
  const double unit = base::RoundingBound(p.params.x.dtype, 1.0);
  const TensorView& query = t.calls.indexer.query;
  const TensorView& weights = t.calls.indexer.weights;
  // The sum over heads and channels of (weight * query * key)^2, the heads added up first.
  std::vector<double> squares(static_cast<size_t>(p.index_dim), 0.0);
  for (int64_t g = 0; g < p.index_heads; ++g) {
    const double weight = base::LoadAsDouble(weights.data, weights.dtype, g);
    for (int64_t c = 0; c < p.index_dim; ++c) {
      const double term = weight * base::LoadAsDouble(query.data, query.dtype, g * p.index_dim + c);
      squares[static_cast<size_t>(c)] += term * term;
    }
  }
  double most = 0;
  for (int64_t j = 0; j < t.visible; ++j) {
    double sum = 0;
    for (int64_t c = 0; c < p.index_dim; ++c) {
      const double key = t.index_k.At(j * p.index_dim + c);
      sum += squares[static_cast<size_t>(c)] * key * key;
    }
    most = std::max(most, sum);
  }
  return 8 * unit * std::sqrt(3 * most);
}

void FillRow(const Dense& from, int64_t count, int64_t begin, size_t slot,
             base::GoldenOutput* output) {
  double* value = output->Row(static_cast<int64_t>(slot));
  double* bound = output->BoundRow(static_cast<int64_t>(slot));
  const Tolerance tolerance = ToleranceOf(from.view().dtype);
  for (int64_t i = 0; i < count; ++i) {
    value[i] = from.At(begin + i);
    bound[i] = tolerance.absolute + tolerance.relative * std::fabs(value[i]);
  }
}

Status ReferenceRow(const Problem& p, const NewRows& rows, int64_t row, size_t slot,
                    base::Golden* golden) {
  enum { kKv, kKr, kIndexK, kOut, kIndices };
  const std::pair<int, const Dense*> caches[] = {
      {kKv, &rows.kv}, {kKr, &rows.kr}, {kIndexK, &rows.index_k}};
  for (const auto& [index, written] : caches) {
    base::GoldenOutput& output = golden->outputs[static_cast<size_t>(index)];
    output.rows[slot] = rows.slots[static_cast<size_t>(row)];
    FillRow(*written, output.row_elems, row * output.row_elems, slot, &output);
  }
  const int64_t b = row / p.tokens;
  TokenCalls t(p, b, row % p.tokens);
  CopyRows(p, rows, b, t.visible, p.params.kv_cache, rows.kv, t.kv);
  CopyRows(p, rows, b, t.visible, p.params.kr_cache, rows.kr, t.kr);
  CopyRows(p, rows, b, t.visible, p.params.index_k_cache, rows.index_k, t.index_k);
  TAMIS_RETURN_IF_ERROR(mla_prolog::run(t.calls.mla, kReference));
  TAMIS_RETURN_IF_ERROR(indexer_prolog::run(t.calls.indexer, kReference));
  TAMIS_RETURN_IF_ERROR(Select(p, &t));
  const bool follow = golden->follow_selection && !p.params.sparse_indices.absent();
  const Chunk token = OneToken(b, row % p.tokens);
  TAMIS_RETURN_IF_ERROR(Attend(
      &t, follow ? ChunkCallsOf(p, p.params, token, false, t.between.data()).select.sparse_indices
                 : t.chosen.view()));
  FillRow(t.out, p.heads * p.latent_dim, 0, slot, &golden->outputs[kOut]);
  base::GoldenOutput& indices = golden->outputs[kIndices];
  for (int64_t i = 0; i < p.params.sparse_count; ++i)
    indices.Row(static_cast<int64_t>(slot))[i] = t.chosen.At(i);
  indices.scores[slot].resize(static_cast<size_t>(t.visible));
  for (int64_t i = 0; i < t.visible; ++i)
    indices.scores[slot][static_cast<size_t>(t.every.At(i))] = t.scores.At(i);
  indices.score_bound[slot] = ScoreBound(p, t);
  return Status::Ok();
}

}  // namespace

Status ReferenceRows(const Problem& problem, const base::Dims& dims, const Params& params,
                     const Executor& executor, int32_t threads, base::Golden* golden) {
  TAMIS_RETURN_IF_ERROR(base::PrepareGolden(Room::contract(), &params, dims, golden));
  for (base::GoldenOutput& output : golden->outputs)
    output.outliers = ToleranceOf(params.x.dtype).outliers;
  NewRows rows(problem);
  TAMIS_RETURN_IF_ERROR(MakeNewRows(problem, &rows));
  std::vector<Status> statuses(golden->rows.size());
  parallel::ForEach(executor, threads, static_cast<int64_t>(golden->rows.size()),
                    [&](int64_t slot, int32_t) {
                      const auto at = static_cast<size_t>(slot);
                      statuses[at] = ReferenceRow(problem, rows, golden->rows[at], at, golden);
                    });
  for (const Status& status : statuses) TAMIS_RETURN_IF_ERROR(status);
  return Status::Ok();
}

}  // namespace tamis::sparse_attention_pto

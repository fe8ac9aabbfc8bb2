// The gradient of attention over listed keys, one level: what a query token has of its own.
//
//   P[key, head] = exp(scale q . k - max) / sum      dP = dO . v      delta[head] = sum P dP
//   dS = scale P (dP - delta)                        dQ[head] = sum_keys dS k
//
// Heads lie on the lanes in all but dQ. P and dS stay for the second phase, prim/list_grad.
#include "ops/sparse_flash_attention/cpu/grad_kernel.h"
#include "prim/list_grad/cpu/rows-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_flash_attention_grad {

using list_grad::Group;
using list_grad::HeadAt;
using list_grad::kTileKeys;
using list_grad::RowAt;
using list_grad::Sequence;
using list_grad::Smaller;
using list_grad::Token;
using prim::attention::Heads;
using prim::attention::Rows;
using prim::list_grad::FactorStride;
using prim::list_grad::ListScratch;
using tamis::sparse_flash_attention_grad::KernelArgs;
using tamis::sparse_flash_attention_grad::kProbabilities;
using tamis::sparse_flash_attention_grad::kScoreGrads;
using tamis::sparse_flash_attention_grad::Scratch;
using tamis::sparse_flash_attention_grad::Shared;

// Heads whose gradients are added up in one call.
constexpr int64_t kHeadsAtOnce = 64;

struct Worker {
  const KernelArgs& a;
  const Scratch& at;
  const Group& group;
  const Sequence& s;
  Token token;
  bool repeats;  // the list names a position more than once
  float* scratch;

  const prim::attention::Args& attend() const { return a.list.attend; }
  int64_t heads() const { return attend().group; }
  int64_t stride() const { return FactorStride(a.list); }
  float* FactorsOf(int64_t table, int64_t key) const { return token.table(table) + key * stride(); }
};

// --- rows

// Heads of the token as panels of `columns` columns, from column `first` on.
inline void PackHeads(const Worker& w, const Heads& heads, int64_t dims, int64_t columns,
                      int64_t first, float* panels) {
  list_grad::PackHeads(w.attend().element, heads, w.heads(), w.s, w.group.token, dims, columns,
                       first, panels);
}

// Both parts of a key, side by side.
TAMIS_INLINE int64_t KeyColumns(const Worker& w) {
  return ColumnsOf(w.attend().dim) + ColumnsOf(w.attend().rope_dim);
}

// Rows of positions [first, first + count) of the token, as columns; those past the last are 0.
inline void SpreadTile(const Worker& w, const Rows& rows, int64_t first, int64_t count,
                       int64_t dims, int64_t column, int64_t stride, float* tile) {
  list_grad::SpreadTile(w.attend().element, rows, w.s, w.token.positions + first, count, dims,
                        column, stride, tile);
}
inline void SpreadKeys(const Worker& w, int64_t first, int64_t count) {
  const prim::attention::Args& a = w.attend();
  float* const keys = w.scratch + w.at.keys;
  SpreadTile(w, a.sources[0].key, first, count, a.dim, 0, w.at.key_stride, keys);
  if (a.rope_dim == 0) return;
  SpreadTile(w, a.sources[0].key_rope, first, count, a.rope_dim, ColumnsOf(a.dim), w.at.key_stride,
             keys);
}

// The same of values with rows of their own.
inline void SpreadValues(const Worker& w, int64_t first, int64_t count) {
  const prim::attention::Args& a = w.attend();
  SpreadTile(w, a.sources[0].value, first, count, a.value_dim, 0, w.at.value_stride,
             w.scratch + w.at.values);
}

// Keys as fp32 rows, for products over their dims.
inline void WidenKeys(const Worker& w, int64_t first, int64_t count) {
  const prim::attention::Args& a = w.attend();
  for (int64_t k = 0; k < count; ++k) {
    const int64_t position = w.token.positions[first + k];
    float* const to = w.scratch + w.at.keys + k * w.at.key_stride;
    Widen(a.element, RowAt(a.sources[0].key, w.s, position), a.dim, to);
    if (a.rope_dim > 0)
      Widen(a.element, RowAt(a.sources[0].key_rope, w.s, position), a.rope_dim, to + a.dim);
    for (int64_t c = a.dim + a.rope_dim; c < w.at.dim_stride; ++c) to[c] = 0.0f;
  }
}

// --- probabilities and their gradients

// Of the token's heads; those past the last have probabilities of 0.
inline void LoadStatistics(const Worker& w) {
  const int64_t token = w.s.token + w.group.token;
  const float* const max = w.a.max + OffsetOf(w.a.max_at, w.s.batch, token);
  const float* const sum = w.a.sum + OffsetOf(w.a.sum_at, w.s.batch, token);
  list_grad::LoadStatistics(max, sum, w.heads(), w.stride(), w.scratch + w.at.max,
                            w.scratch + w.at.factor);
  Clear(w.scratch + w.at.delta, w.stride());
}

inline void RepeatProbabilities(const Worker& w, int64_t first, int64_t count) {
  const float* const repeats = w.scratch + w.at.list + ListScratch(w.a.list).repeats + first;
  for (int64_t k = 0; k < count; ++k) {
    float* const p = w.FactorsOf(kProbabilities, first + k);
    for (int64_t v = 0; v < w.heads(); v += kLanes) Store(p + v, Mul(Load(p + v), Set(repeats[k])));
  }
}

inline void AddDeltas(const Worker& w, int64_t first, int64_t count) {
  const int64_t stride = w.stride();
  const float* const p = w.FactorsOf(kProbabilities, first);
  const float* const grads = w.FactorsOf(kScoreGrads, first);
  for (int64_t v = 0; v < w.heads(); v += kLanes) {
    V delta = Load(w.scratch + w.at.delta + v);
    for (int64_t k = 0; k < count; ++k)
      delta = Fma(Load(p + k * stride + v), Load(grads + k * stride + v), delta);
    Store(w.scratch + w.at.delta + v, delta);
  }
}

// P, dP in the place of dS, and delta.
inline void FindProbabilities(const Worker& w) {
  const prim::attention::Args& a = w.attend();
  const int64_t columns = KeyColumns(w);
  const int64_t value_columns = ColumnsOf(a.value_dim);
  float* const queries = w.scratch + w.at.queries;
  float* const out_grads = w.scratch + w.at.out_grads;
  PackHeads(w, a.query, a.dim, columns, 0, queries);
  if (a.rope_dim > 0) PackHeads(w, a.query_rope, a.rope_dim, columns, ColumnsOf(a.dim), queries);
  PackHeads(w, w.a.out_grad, a.value_dim, value_columns, 0, out_grads);
  const int64_t vectors = (w.heads() + kLanes - 1) / kLanes;
  const Probabilities finish = {Set(a.scale), w.scratch + w.at.max, w.scratch + w.at.factor};
  const float* const keys = w.scratch + w.at.keys;
  for (int64_t first = 0; first < w.token.count; first += kTileKeys) {
    const int64_t count = Smaller(kTileKeys, w.token.count - first);
    SpreadKeys(w, first, count);
    ProductsOfKeys(keys, w.at.key_stride, queries, columns, count, vectors,
                   w.FactorsOf(kProbabilities, first), w.stride(), finish);
    if (w.repeats) RepeatProbabilities(w, first, count);
    if (!a.value_in_key) SpreadValues(w, first, count);
    ProductsOfKeys(a.value_in_key ? keys : w.scratch + w.at.values,
                   a.value_in_key ? w.at.key_stride : w.at.value_stride, out_grads, value_columns,
                   count, vectors, w.FactorsOf(kScoreGrads, first), w.stride(), AsIs());
    AddDeltas(w, first, count);
  }
}

// --- gradients of scores, queries and sinks

inline void FindScoreGrads(const Worker& w, int64_t first, int64_t count) {
  const int64_t stride = w.stride();
  const float* const p = w.FactorsOf(kProbabilities, first);
  float* const grads = w.FactorsOf(kScoreGrads, first);
  const V scale = Set(w.attend().scale);
  for (int64_t v = 0; v < w.heads(); v += kLanes) {
    const V delta = Load(w.scratch + w.at.delta + v);
    for (int64_t k = 0; k < count; ++k) {
      float* const grad = grads + k * stride + v;
      Store(grad, Mul(Mul(Load(p + k * stride + v), scale), Sub(Load(grad), delta)));
    }
  }
}

inline void AddQueryGrads(const Worker& w, int64_t first, int64_t count) {
  float* const grads = w.scratch + w.at.query_grads;
  for (int64_t h = 0; h < w.heads(); h += kHeadsAtOnce) {
    const int64_t heads = Smaller(kHeadsAtOnce, w.heads() - h);
    float* rows[kHeadsAtOnce];
    for (int64_t i = 0; i < kHeadsAtOnce; ++i)
      rows[i] = grads + (i < heads ? h + i : w.heads()) * w.at.dim_stride;
    AddProducts({w.FactorsOf(kScoreGrads, first) + h, 1, w.stride()}, w.scratch + w.at.keys,
                w.at.key_stride, count, rows, heads, w.at.dim_stride);
  }
}

inline void FindQueryGrads(const Worker& w) {
  const bool wanted = w.a.query_grad.data != nullptr || w.a.query_rope_grad.data != nullptr;
  float* const grads = w.scratch + w.at.query_grads;
  Clear(grads, w.heads() * w.at.dim_stride);
  for (int64_t first = 0; first < w.token.count; first += kTileKeys) {
    const int64_t count = Smaller(kTileKeys, w.token.count - first);
    FindScoreGrads(w, first, count);
    if (!wanted) continue;
    WidenKeys(w, first, count);
    AddQueryGrads(w, first, count);
  }
}

inline void WriteQueryGrads(const Worker& w, const Heads& to, int64_t column, int64_t dims) {
  for (int64_t h = 0; to.data != nullptr && h < w.heads(); ++h) {
    Narrow(w.attend().element, w.scratch + w.at.query_grads + h * w.at.dim_stride + column, 1.0f,
           dims, HeadAt(to, w.s, w.group.token, h));
  }
}

// - exp(sink - max) / sum delta, which the token adds to the gradients of sinks. Without a key that
// is 0, whatever the statistics are.
inline void PutSinkGrads(const Worker& w, float* to) {
  for (int64_t v = 0; v < w.stride(); v += kLanes) {
    const int64_t rest = w.heads() - v;
    const V sinks = rest >= kLanes ? Load(w.a.sinks + v)
                    : rest > 0     ? LoadN(w.a.sinks + v, static_cast<int>(rest))
                                   : Zero();
    const V share = Probability(sinks, Set(1.0f), Load(w.scratch + w.at.max + v),
                                Load(w.scratch + w.at.factor + v));
    const V term = Mul(share, Sub(Zero(), Load(w.scratch + w.at.delta + v)));
    Store(to + v, w.token.count > 0 ? term : Zero());
  }
}

}  // namespace sparse_flash_attention_grad
}  // namespace

void SparseFlashAttentionGradQueries(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace sparse_flash_attention_grad;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Scratch at(a);
  const Group& group = a.list.groups[item];
  const Sequence& s = a.list.attend.sequences[group.sequence];
  auto* const floats = static_cast<float*>(scratch);
  Worker w = {a, at, group, s, {}, false, floats};
  float* const slot = list_grad::SlotOf(a.list, item, prim::list_grad::Slot(a.list), shared);
  w.repeats = list_grad::FindPositions(a.list, group, floats + at.list, slot, &w.token);
  LoadStatistics(w);
  if (w.token.count > 0) FindProbabilities(w);
  FindQueryGrads(w);
  WriteQueryGrads(w, a.query_grad, 0, a.list.attend.dim);
  WriteQueryGrads(w, a.query_rope_grad, a.list.attend.dim, a.list.attend.rope_dim);
  if (a.sinks_grad == nullptr) return;
  PutSinkGrads(
      w, static_cast<float*>(shared) + Shared(a).sinks + (s.row_begin + group.token) * w.stride());
}

// A line of heads: what the tokens have left, in their order.
void SparseFlashAttentionGradSinks(const void* args, int64_t item, void* /*scratch*/,
                                   void* shared) {
  using namespace sparse_flash_attention_grad;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const int64_t stride = FactorStride(a.list);
  const int64_t begin = item * prim::list_grad::kLine;
  const int64_t end = Smaller(begin + prim::list_grad::kLine, a.list.attend.group);
  const float* const terms = static_cast<const float*>(shared) + Shared(a).sinks;
  for (int64_t h = begin; h < end; h += kLanes) {
    V sum = Zero();
    for (int64_t row = 0; row < a.rows; ++row) sum = Add(sum, Load(terms + row * stride + h));
    if (end - h >= kLanes) {
      Store(a.sinks_grad + h, sum);
    } else {
      StoreN(a.sinks_grad + h, sum, static_cast<int>(end - h));
    }
  }
}

}  // namespace tamis::TAMIS_LEVEL

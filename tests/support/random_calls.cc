#include "tests/support/random_calls.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/dtype.h"
#include "prim/formats/key_shadow.h"
#include "registry/registry.h"
#include "tests/support/contract_call.h"
#include "tests/support/kv_rows.h"
#include "tests/support/recipes.h"
#include "tests/support/sequences.h"
#include "tests/support/token_calls.h"

namespace tamis::test {
namespace {

// --- the prologs
// ----------------------------------------------------------------------------------

// A size of a matrix' side.
int64_t Side(ContractCall* c, bool nz, int64_t most) {
  return nz ? 16 * c->random().Between(1, 2) : c->random().Between(1, most);
}

bool SetWeightFormat(ContractCall* c) {
  const bool nz = c->random().Below(3) == 0;
  c->Set("weight_format", std::string(nz ? "NZ" : "ND"));
  if (nz) c->Dense();
  return nz;
}

// Tokens of x, and a cache with the slots that they write.
void SetTokens(ContractCall* c) {
  Random& random = c->random();
  const bool batched = c->Coin();
  const int64_t batch = batched ? random.Between(0, 3) : 1;
  const int64_t tokens = random.Between(0, batched ? 3 : 7);
  const int64_t pages = random.Between(0, 3);
  const int64_t page = random.Between(0, 5);
  c->Form(batched ? "BSH" : "TH")
      .Size("T", tokens)
      .Size("B", batch)
      .Size("S1", tokens)
      .Size("pages", pages)
      .Size("page_size", page)
      .Values("cache_index", Elements(RandomSlots(batch * tokens, pages * page, &random)));
}

void MlaProlog(ContractCall* c) {
  Random& random = c->random();
  const bool nz = SetWeightFormat(c);
  SetTokens(c);
  const int64_t heads = random.Between(1, 4);
  int64_t rope = 2 * random.Between(0, 4);
  int64_t nope = random.Between(1, 12);
  int64_t latent = random.Between(1, 20);
  if (nz) {
    rope = 16;
    nope = 16 * random.Between(1, 2);
    latent = 16 * random.Between(1, 2);
  }
  if (random.Below(3) == 0) {
    c->Need("query_source").Omit("w_dq").Omit("gamma_cq").Omit("bias_dq");
  } else {
    c->Omit("query_source").Need("w_dq").Need("gamma_cq");
  }
  c->Size("H", Side(c, nz, 40))
      .Size("Lq", Side(c, nz, 24))
      .Size("N", heads)
      .Size("nope", nope)
      .Size("rope", rope)
      .Size("latent", latent)
      .Size("uq_width", heads * (nope + rope))
      .Size("kv_width", latent + rope);
}

void IndexerProlog(ContractCall* c) {
  const bool nz = SetWeightFormat(c);
  SetTokens(c);
  const int64_t heads = nz ? 16 : c->random().Between(1, 4);
  const int64_t dim = Side(c, nz, 24);
  c->Size("H", Side(c, nz, 40))
      .Size("Lq", Side(c, nz, 24))
      .Size("Ni", heads)
      .Size("Di", dim)
      .Size("qb_width", heads * dim)
      .Size("rope", 2 * c->random().Between(0, dim / 2))
      .Size("panels", prim::ShadowPanels(c->size("page_size")))
      .Size("panel_bytes", prim::ShadowPanelBytes(dim))
      .Values("index_k_shadow", [](int64_t) { return 77.0; });
}

void WeightFormat(ContractCall* c) {
  c->Dense()
      .Size("rows", 16 * c->random().Between(0, 4))
      .Size("columns", 16 * c->random().Between(0, 4));
}

// --- DeepSeek sparse attention
// --------------------------------------------------------------------

Tokens DrawTokens(ContractCall* c) {
  Random& random = c->random();
  Tokens t;
  t.tnd = c->Coin();
  t.keys = c->Coin() ? Keys::kPaged : t.tnd ? Keys::kTnd : Keys::kBsnd;
  constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  t.dtype = kDTypes[static_cast<size_t>(random.Below(3))];
  t.lengths = c->Coin() ? DType::kInt32 : DType::kInt64;
  t.page = random.Between(1, 9);
  t.padding = random.Between(0, 2);
  t.gap = 4 * random.Between(0, 1);
  const int64_t sequences = random.Between(1, 3);
  t.q = Lengths(sequences, 4, &random);
  t.n = Lengths(sequences, 40, &random);
  HideSomeKeys(&t, &random);
  c->Omit("block_table");  // where none are set, as those of
  for (const char* name : {"key_starts", "key_limits", "actual_seq_lengths_tokens"}) c->Omit(name);
  return t;
}

void SetTokenSizes(ContractCall* c, const Tokens& t) {
  const std::vector<int64_t> shape = t.QueryShape({});
  c->Size(t.tnd ? "T1" : "B", shape[0]).Type("query", t.dtype);
  if (!t.tnd) c->Size("S1", shape[1]);
}

int64_t SomeMode(ContractCall* c) { return c->Coin() ? 3 : 0; }

// Query tokens and index keys; says the keys' shape.
std::vector<int64_t> SetIndexer(ContractCall* c, const Tokens& t) {
  Random& random = c->random();
  const Placement place(t, &random);
  const int64_t dim = random.Between(1, 40);
  SetTokenSizes(c, t);
  SetSequences(&c->call(), t, place, "key");
  c->call().Strided("key", t.dtype, place.Shape(dim), t.gap, place.Values(dim, &random));
  c->Size("N", random.Between(1, 6))
      .Size("D", dim)
      .Set("sparse_mode", SomeMode(c))
      .Type("weights", c->Coin() ? DType::kFloat32 : t.dtype);
  return place.Shape(dim);
}

void LightningIndexer(ContractCall* c) {
  Random& random = c->random();
  Tokens t = DrawTokens(c);
  t.out_float32 = false;
  CompressSomeKeys(&t, &random);
  const std::vector<int64_t> shape = SetIndexer(c, t);  // [Bk or pages,] keys, 1, dim
  c->Set("sparse_count", random.Between(0, 20));
  // A shadow that knows nothing, whatever is read as what: true of any keys.
  c->Size("Bk", shape[0])
      .Size("pages", shape[0])
      .Size("panels", prim::ShadowPanels(shape[shape.size() - 3]))
      .Size("panel_bytes", prim::ShadowPanelBytes(shape.back()))
      .Values("key_shadow", [](int64_t) { return 255.0; });
}

// Query tokens and index keys of the indexer's warm-up.
Tokens SetDenseIndexer(ContractCall* c) {
  Random& random = c->random();
  Tokens t = DrawTokens(c);
  t.keys = t.tnd ? Keys::kTnd : Keys::kBsnd;
  const Placement place(t, &random);
  const int64_t dim = random.Between(1, 24);
  SetTokenSizes(c, t);
  const auto of = [&](const std::vector<int64_t>& lengths) {
    return t.tnd ? Prefix(lengths) : lengths;
  };
  c->Set("layout", std::string(t.tnd ? "TND" : "BSND"))
      .Set("sparse_mode", SomeMode(c))
      .Size("Ni", random.Between(1, 5))
      .Size("Di", dim)
      .Type("query_index", t.dtype)
      .Type("weights", c->Coin() ? DType::kFloat32 : t.dtype);
  c->call()
      .List("actual_seq_lengths_query", t.lengths, of(t.q))
      .List("actual_seq_lengths_key", t.lengths, of(t.n))
      .Strided("key_index", t.dtype, place.Shape(dim), t.gap, place.Values(dim, &random));
  return t;
}

void DenseLightningIndexerSoftmaxLse(ContractCall* c) { SetDenseIndexer(c); }

// The main attention whose probabilities the indexer learns.
Tokens SetIndexerLoss(ContractCall* c, int64_t most_kv_heads) {
  Random& random = c->random();
  const Tokens t = SetDenseIndexer(c);
  const std::vector<int64_t> keys = Placement(t, &random).Shape(1);  // [B,] keys, 1, 1
  const int64_t kv_heads = most_kv_heads == 1 ? 1 : random.Between(1, most_kv_heads);
  c->Size(t.tnd ? "T2" : "Bk", keys[0])
      .Size("N", kv_heads * random.Between(1, 3))
      .Size("N2", kv_heads)
      .Size("D", random.Between(1, 24))
      .Size("Dr", random.Between(1, 8))
      .Set("scale_value", 0.05 + 0.5 * random.Uniform());
  if (!t.tnd) c->Size("S2", keys[1]);
  if (c->Coin()) {
    c->Need("query_rope").Need("key_rope");
  } else {
    c->Omit("query_rope").Omit("key_rope");
  }
  SetStatistics(c);
  return t;
}

void DenseLightningIndexerGradKlLoss(ContractCall* c) {
  Random& random = c->random();
  SetIndexerLoss(c, 3);
  c->Values("softmax_max_index", [&random](int64_t) {
     return 3 * random.Normal();
   }).Values("softmax_sum_index", [&random](int64_t) { return 1 + 20 * random.Uniform(); });
}

// Lists of single positions, some of them past the keys, few of them negative.
void SetList(ContractCall* c, const Tokens& t) {
  Random& random = c->random();
  const auto ids = static_cast<double>(Most(t.n) + 2);
  c->Size("K", random.Between(0, 12)).Values("sparse_indices", [&random, ids](int64_t) {
    return std::floor(ids * random.Uniform()) - (random.Uniform() < 0.02 ? 1000 : 0);
  });
}

void SparseLightningIndexerGradKlLoss(ContractCall* c) { SetList(c, SetIndexerLoss(c, 1)); }

void LightningIndexerGrad(ContractCall* c) {
  Tokens t = DrawTokens(c);
  t.keys = t.tnd ? Keys::kTnd : Keys::kBsnd;
  t.out_float32 = false;
  CompressSomeKeys(&t, &c->random());
  SetList(c, t);
  SetIndexer(c, t);
}

void QuantizeIndexKeys(ContractCall* c) {
  for (const char* size : {"Bk", "S2", "T2", "pages", "page_size"}) c->Size(size, c->SomeSize(20));
  c->Size("D", c->SomeSize(140));
}

std::string SomeKvFormat(ContractCall* c) {
  const char* const formats[] = {"cann656", "flashmla656", "flashmla584"};
  return formats[c->random().Below(3)];
}

// What a key of sparse_flash_attention is made of.
struct KeyParts {
  std::optional<prim::KvRow> row;  // rows of bytes
  int64_t latent = 0;
  std::optional<int64_t> rope;
  bool value = false;
};

KeyParts DrawKeyParts(ContractCall* c) {
  Random& random = c->random();
  KeyParts parts;
  const int64_t rope = random.Between(0, 12);
  if (random.Below(4) == 0) {
    const std::string format = SomeKvFormat(c);
    const bool apart = format == "flashmla584";
    const int64_t latent = (apart ? 64 : 128) * random.Between(1, 2);
    parts.row = KvFormatOf(format, latent, apart ? 64 : rope);
    parts.latent = latent + (apart ? 64 : 0);
    c->Set("kv_format", format);
    apart ? c->Omit("query_rope") : c->Need("query_rope");
    return parts;
  }
  parts.latent = random.Between(1, 40);
  c->Set("kv_format", std::string("split"));
  parts.value = c->Coin();
  if (c->Coin()) {
    parts.rope = rope;
    c->Need("query_rope");
  } else {
    c->Omit("query_rope");
  }
  return parts;
}

// Keys where a sequence has some, NaN or bytes of ones elsewhere, in the tensors whose names begin
// with `prefix`.
void SetKeys(ContractCall* c, const Tokens& t, const Placement& place, const KeyParts& parts,
             const std::string& prefix) {
  Random& random = c->random();
  const auto keys = [&](const char* name, int64_t dim) {
    c->call().Strided(prefix + name, t.dtype, place.Shape(dim), t.gap, place.Values(dim, &random));
  };
  for (const char* name : {"key_rope", "value"}) c->Omit(prefix + name);
  if (!parts.row) {
    keys("key", parts.latent);
    if (parts.rope) keys("key_rope", *parts.rope);
    if (parts.value) keys("value", parts.latent);
    return;
  }
  const std::vector<int64_t> shape = place.Shape(parts.row->width());
  const int64_t rows = shape[shape.size() - 3];
  const std::vector<uint8_t> bytes = RandomKvPages(
      *parts.row, rows > 0 ? place.rows() / rows : 0, rows,
      [&](int64_t r) { return place.Holds(r); }, t.dtype, &random);
  c->call().Strided(prefix + "key", DType::kUInt8, shape, parts.row->scales_apart ? 0 : t.gap,
                    Elements(bytes));
}

// Most calls have a second source of keys.
void SetWindow(ContractCall* c, Tokens t, const KeyParts& parts) {
  Random& random = c->random();
  for (const char* name : {"window_key", "window_key_rope", "window_value", "window_block_table",
                           "actual_seq_lengths_window", "window_starts"})
    c->Omit(name);
  if (random.Below(4) == 0) return;
  t.n = Lengths(static_cast<int64_t>(t.n.size()), 40, &random);
  t.starts.clear();
  if (c->Coin()) {
    for (int64_t n : t.n) t.starts.push_back(random.Between(0, n));
  }
  const Placement place(t, &random);
  SetKeys(c, t, place, parts, "window_");
  c->Set("window_size", random.Between(-1, 12));
  TestCall& call = c->call();
  call.List("actual_seq_lengths_window", t.lengths, t.keys == Keys::kTnd ? Prefix(t.n) : t.n);
  if (!t.starts.empty()) call.List("window_starts", t.lengths, t.starts);
  if (const std::optional<Pages>& pages = place.pages()) {
    call.Tensor("window_block_table", DType::kInt32,
                {static_cast<int64_t>(t.n.size()), pages->width}, Elements(pages->table));
  }
}

// Heads, their dims, and lists of keys.
void SetSelection(ContractCall* c, const Tokens& t, int64_t latent, int64_t rope) {
  Random& random = c->random();
  const int64_t block = random.Between(1, 3);
  const int64_t ids = Most(t.n) / block + 2;
  c->Set("sparse_block_size", block)
      .Set("sparse_mode", SomeMode(c))
      .Set("scale_value", 0.05 + 0.5 * random.Uniform())
      .Size("N", random.Between(1, 6))
      .Size("D", latent)
      .Size("Dr", rope)
      .Size("K", random.Between(0, 12))
      .Values("sparse_indices", [&random, ids](int64_t) {
        return std::floor(static_cast<double>(ids) * random.Uniform()) -
               (random.Uniform() < 0.02 ? 1000 : 0);
      });
}

void SparseFlashAttention(ContractCall* c) {
  Random& random = c->random();
  Tokens t = DrawTokens(c);
  CompressSomeKeys(&t, &random);
  const Placement place(t, &random);
  SetTokenSizes(c, t);
  SetSequences(&c->call(), t, place, "kv");
  const KeyParts parts = DrawKeyParts(c);
  SetKeys(c, t, place, parts, "");
  SetWindow(c, t, parts);
  const bool in_key = parts.row && parts.row->scales_apart;
  SetSelection(c, t, parts.latent,
               parts.row && !in_key ? parts.row->rope_dim : parts.rope.value_or(0));
}

void SparseFlashAttentionGrad(ContractCall* c) {
  Random& random = c->random();
  Tokens t = DrawTokens(c);
  t.keys = t.tnd ? Keys::kTnd : Keys::kBsnd;
  t.out_float32 = false;
  const Placement place(t, &random);
  KeyParts parts;
  parts.latent = random.Between(1, 40);
  parts.value = c->Coin();
  // Often: what may be absent has a gradient that may be, too.
  if (random.Below(3) > 0) {
    parts.rope = random.Between(0, 12);
    c->Need("query_rope");
  } else {
    c->Omit("query_rope");
  }
  if (random.Below(3) > 0) c->Need("sinks");
  SetTokenSizes(c, t);
  SetSequences(&c->call(), t, place, "kv");
  SetKeys(c, t, place, parts, "");
  SetStatistics(c);
  SetSelection(c, t, parts.latent, parts.rope.value_or(0));
}

// Native Sparse Attention's; its tokens and keys are those above.
void SetWindow(ContractCall* c, const Tokens& t) {
  Random& random = c->random();
  const Placement place(t, &random);
  const int64_t kv_heads = random.Between(1, 3);
  SetTokenSizes(c, t);
  SetSequences(&c->call(), t, place, "kv");
  for (const char* name : {"key", "value"}) {
    const int64_t dim = random.Between(1, 24);
    c->Size(std::string(name) == "key" ? "D" : "D2", dim);
    c->call().Strided(name, t.dtype, place.Shape(dim, kv_heads), t.gap,
                      place.Values(dim * kv_heads, &random));
  }
  c->Set("scale_value", 0.05 + 0.5 * random.Uniform())
      .Set("window_size", random.Between(1, 30))
      .Size("N", kv_heads * random.Between(1, 5));
}

void SlidingWindowAttention(ContractCall* c) { SetWindow(c, DrawTokens(c)); }

void SlidingWindowAttentionGrad(ContractCall* c) {
  Tokens t = DrawTokens(c);
  t.keys = t.tnd ? Keys::kTnd : Keys::kBsnd;
  t.out_float32 = false;
  SetWindow(c, t);
  SetStatistics(c);
}

void SparseAttentionPto(ContractCall* c) {
  Random& random = c->random();
  const bool nz = SetWeightFormat(c);
  const int64_t batch = random.Between(0, 3);
  const int64_t tokens = random.Between(0, 3);
  const int64_t page = random.Between(1, 9);
  const std::vector<int64_t> lengths = Lengths(batch, 30, &random);
  const Pages pages(lengths, page, 1, &random);
  SetPages(c, pages, batch);
  const int64_t heads = random.Between(1, 3);
  const int64_t index_heads = nz ? 16 : random.Between(1, 3);
  const int64_t rope = nz ? 16 : 2 * random.Between(0, 4);
  const int64_t nope = nz ? 16 : random.Between(1, 12);
  const int64_t latent = Side(c, nz, 20);
  const int64_t index_dim = nz ? 16 : rope + random.Between(1, 12);
  c->Size("B", batch)
      .Size("S1", tokens)
      .Size("H", Side(c, nz, 40))
      .Size("Lq", Side(c, nz, 24))
      .Size("Q", heads * (nope + rope))
      .Size("N", heads)
      .Size("Dq", nope)
      .Size("D", latent)
      .Size("Dr", rope)
      .Size("C", latent + rope)
      .Size("Ni", index_heads)
      .Size("Di", index_dim)
      .Size("I", index_heads * index_dim)
      .Size("pages", pages.count)
      .Size("page_size", page)
      .Set("sparse_count", random.Between(0, 20))
      .Values("act_seqs", Elements(lengths))
      .Values("cache_index", Elements(RandomSlots(batch * tokens, pages.count * page, &random)));
}

// --- rows of bytes, and parts
// -----------------------------------------------------------------------

// Rows whose scales lie apart have no gaps.
prim::KvRow SetKvFormat(ContractCall* c, int64_t rope) {
  const std::string format = SomeKvFormat(c);
  const int64_t groups = c->random().Between(0, 2);
  const int64_t group = KvFormatOf(format, 0, 0).group;
  const prim::KvRow row = KvFormatOf(format, group * groups, rope);
  c->Set("kv_format", format);
  if (row.scales_apart) c->Dense();
  return row;
}

void PackKvRows(ContractCall* c) {
  const prim::KvRow row = SetKvFormat(c, c->random().Between(0, 9));
  c->Size("R", c->SomeSize(6)).Size("D", row.latent_dim).Size("Dr", row.rope_dim);
}

void UnpackKvRows(ContractCall* c) {
  Random& random = c->random();
  const prim::KvRow row = SetKvFormat(c, random.Between(0, 9));
  constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  const DType dtype = kDTypes[static_cast<size_t>(random.Below(3))];
  const int64_t count = c->SomeSize(6);
  const std::vector<uint8_t> bytes = RandomKvPages(
      row, 1, count, [](int64_t) { return true; }, dtype, &random);
  c->Size("R", count)
      .Size("width", row.width())
      .Set("rope_dim", row.rope_dim)
      .Set("dtype", std::string(base::Name(dtype)))
      .Type("rows", DType::kUInt8)
      .Values("rows", Elements(bytes));
}

void MergeAttentionStates(ContractCall* c) {
  Random& random = c->random();
  c->Size("parts", c->SomeSize(6))
      .Size("T", c->SomeSize(5))
      .Size("N", c->SomeSize(5))
      .Size("D", c->SomeSize(40))
      .Values("softmax_maxes",
              [&](int64_t) { return random.Uniform() < 0.1 ? -kInfinity : 4 * random.Normal(); })
      .Values("softmax_sums",
              [&](int64_t) { return random.Uniform() < 0.1 ? 0 : 1 + 40 * random.Uniform(); });
}

void MergeTopk(ContractCall* c) {
  Random& random = c->random();
  c->Size("parts", c->SomeSize(5))
      .Size("T", c->SomeSize(5))
      .Size("K", c->SomeSize(12))
      .Set("sparse_count", random.Between(0, 30))
      .Values("indices", [&](int64_t i) {
        return random.Uniform() < 0.1 ? -1 : static_cast<double>(i * 7919 % 10007);
      });
}

// Of localize_indices and globalize_indices.
void DealtIndices(ContractCall* c) {
  Random& random = c->random();
  const int64_t world = random.Between(1, 5);
  const int64_t rank = random.Below(world);
  c->Size("T", c->SomeSize(5))
      .Size("K", c->SomeSize(12))
      .Set("world", world)
      .Set("rank", rank)
      .Set("interleave", random.Between(1, 4))
      .Set("ranks", random.Between(1, world - rank))
      .Values("indices", [&](int64_t) {
        return random.Uniform() < 0.1 ? -1 : std::floor(100 * random.Uniform());
      });
}

struct Recipe {
  const char* op;
  void (*draw)(ContractCall*);
};
constexpr Recipe kRecipes[] = {
    {"nsa_compress", &NsaCompress},
    {"nsa_compress_grad", &NsaCompress},
    {"nsa_compress_attention", &NsaCompressAttention},
    {"nsa_compress_attention_grad", &NsaCompressAttentionGrad},
    {"nsa_compress_attention_infer", &NsaCompressAttentionInfer},
    {"nsa_compress_infer", &NsaCompressInfer},
    {"nsa_selected_attention", &NsaSelectedAttention},
    {"nsa_selected_attention_grad", &NsaSelectedAttentionGrad},
    {"nsa_selected_attention_infer", &NsaSelectedAttentionInfer},
    {"sliding_window_attention", &SlidingWindowAttention},
    {"sliding_window_attention_grad", &SlidingWindowAttentionGrad},
    {"mla_prolog", &MlaProlog},
    {"indexer_prolog", &IndexerProlog},
    {"nd_to_nz", &WeightFormat},
    {"nz_to_nd", &WeightFormat},
    {"quantize_index_keys", &QuantizeIndexKeys},
    {"lightning_indexer", &LightningIndexer},
    {"lightning_indexer_grad", &LightningIndexerGrad},
    {"dense_lightning_indexer_softmax_lse", &DenseLightningIndexerSoftmaxLse},
    {"dense_lightning_indexer_grad_kl_loss", &DenseLightningIndexerGradKlLoss},
    {"sparse_lightning_indexer_grad_kl_loss", &SparseLightningIndexerGradKlLoss},
    {"sparse_flash_attention", &SparseFlashAttention},
    {"sparse_flash_attention_grad", &SparseFlashAttentionGrad},
    {"sparse_attention_pto", &SparseAttentionPto},
    {"pack_kv_rows", &PackKvRows},
    {"unpack_kv_rows", &UnpackKvRows},
    {"merge_attention_states", &MergeAttentionStates},
    {"merge_topk", &MergeTopk},
    {"localize_indices", &DealtIndices},
    {"globalize_indices", &DealtIndices}};

}  // namespace

std::vector<const base::Operator*> AllOperators() {
  std::vector<const base::Operator*> operators;
  for (const base::Operator& op : registry::Operators()) operators.push_back(&op);
  return operators;
}

TestCall RandomCall(const base::Operator& op, Random* random) {
  ContractCall call(op, random);
  for (const Recipe& recipe : kRecipes) {
    if (op.contract->name == recipe.op) recipe.draw(&call);
  }
  return call.Build();
}

}  // namespace tamis::test

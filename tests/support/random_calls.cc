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
#include "tests/support/sequences.h"
#include "tests/support/token_calls.h"

namespace tamis::test {
namespace {

std::vector<int64_t> Lengths(int64_t count, int64_t most, Random* random) {
  std::vector<int64_t> lengths(static_cast<size_t>(count));
  for (int64_t& length : lengths) length = random->Between(0, most);
  return lengths;
}

int64_t Sum(const std::vector<int64_t>& lengths) {
  return lengths.empty() ? 0 : Prefix(lengths).back();
}

int64_t Most(const std::vector<int64_t>& lengths) {
  return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
}

void SetPages(ContractCall* c, const Pages& pages, int64_t sequences) {
  c->call().Tensor("block_table", DType::kInt32, {sequences, pages.width}, Elements(pages.table));
}

// --- Native Sparse Attention --------------------------------------------------------------------

void NsaCompress(ContractCall* c) {
  Random& random = c->random();
  const std::vector<int64_t> lengths = Lengths(random.Between(0, 4), 40, &random);
  const int64_t block = random.Between(1, 12);
  const bool counts = c->Coin();
  const int64_t stride = random.Between(1, block);
  int64_t windows = 0;
  for (const int64_t length : lengths)
    windows += length < block ? 0 : (length - block) / stride + 1;
  c->Set("compress_block_size", block)
      .Set("compress_stride", stride)
      .Set("act_seq_len_type", int64_t{counts})
      .Set("act_seq_len", counts ? lengths : Prefix(lengths))
      .Size("T", Sum(lengths))
      .Size("Tc", windows)
      .Size("N", c->SomeSize(5))
      .Size("D", c->SomeSize(40));
}

void NsaCompressInfer(ContractCall* c) {
  Random& random = c->random();
  const bool several = c->Coin();
  const int64_t batch = random.Between(0, 3);
  const int64_t page = random.Between(1, 9);
  const int64_t block = random.Between(1, 10);
  const int64_t stride = random.Between(1, block);
  const int64_t rows = random.Between(0, 12);
  const std::vector<int64_t> n = Lengths(batch, 40, &random);
  const Pages pages(n, page, 2, &random);
  SetPages(c, pages, batch);
  std::vector<int64_t> q;
  std::vector<int64_t> slots;
  for (const int64_t length : n) {
    q.push_back(several ? random.Between(0, std::min<int64_t>(length, 12)) : 1);
    const std::vector<int64_t> drawn = RandomSlots(q.back(), rows, &random);
    for (int64_t i = 0; i < q.back(); ++i) {
      const int64_t end = length - q.back() + i + 1;
      const bool ends_one = end >= block && (end - block) % stride == 0;
      slots.push_back(ends_one ? drawn[static_cast<size_t>(i)] : rows + random.Below(1000));
    }
  }
  c->Set("compress_block_size", block)
      .Set("compress_stride", stride)
      .Set("page_block_size", page)
      .Set("act_seq_len", n)
      .Size("B", batch)
      .Size("T", Sum(q))
      .Size("R", rows)
      .Size("pages", pages.count)
      .Size("N", c->SomeSize(5))
      .Size("D", c->SomeSize(40))
      .Values("slot_mapping", Elements(slots));
  if (several) c->Set("actual_seq_qlen", q);
}

// Windows, blocks and heads of both attention operators; returns the strides of a select block.
int64_t SetWindows(ContractCall* c) {
  Random& random = c->random();
  const int64_t stride = random.Between(1, 4);
  const int64_t select = random.Between(1, 4);
  c->Set("compress_stride", stride)
      .Set("compress_block_size", random.Between(stride, 4 * stride))
      .Set("select_block_size", stride * select)
      .Set("select_block_count", random.Between(0, 6))
      .Set("scale_value", 0.05 + random.Uniform())
      .Size("D", c->SomeSize(24))
      .Size("D2", c->SomeSize(24));
  return select;
}

int64_t SetHeads(ContractCall* c, const std::string& kv_heads) {
  const int64_t kv = c->random().Between(1, 3);
  const int64_t heads = kv * c->random().Between(1, 5);
  c->Size(kv_heads, kv).Size("N", heads).Set("head_num", heads);
  return kv;
}

// Limits of query tokens, and statistics of a softmax over more keys.
void SetPart(ContractCall* c, int64_t most_keys) {
  Random& random = c->random();
  c->Values("key_limits", [&random, most_keys](int64_t) {
     return static_cast<double>(random.Between(-2, most_keys + 2));
   }).Values("global_max", [&random](int64_t) { return 3 * random.Normal(); });
  c->Values("global_sum", [&random](int64_t) { return 1 + 40 * random.Uniform(); });
  for (const char* name : {"global_max", "global_sum"}) c->Need(name);
  if (random.Below(3) == 0) c->Omit("global_max").Omit("global_sum");
}

void NsaCompressAttention(ContractCall* c) {
  Random& random = c->random();
  const int64_t select = SetWindows(c);
  SetHeads(c, "N2");
  const int64_t sequences = random.Between(0, 3);
  const std::vector<int64_t> q = Lengths(sequences, 9, &random);
  const std::vector<int64_t> n = Lengths(sequences, 30, &random);
  if (c->Coin()) c->Set("actual_sel_seq_kvlen", Prefix(n));  // accepted and not used
  const bool causal = random.Below(4) != 0;
  c->Set("causal", causal);
  std::vector<int64_t> raw = q;
  if (causal && random.Below(4) != 0) {
    raw = Lengths(sequences, 300, &random);
    c->Set("actual_raw_seq_kvlen", Prefix(raw));
  }
  int64_t blocks = base::CeilDiv(Most(n), select);
  c->Size("max_blocks", blocks);
  const bool causal_selection = causal && random.Below(3) == 0;
  c->Set("selection", std::string(causal_selection ? "causal" : "device"));
  if (causal_selection) {
    c->Omit("topk_mask");
    blocks = base::CeilDiv(Most(raw), c->size("select_block_size"));
  }
  SetPart(c, Most(n));
  c->Set("actual_seq_qlen", Prefix(q))
      .Set("actual_cmp_seq_kvlen", Prefix(n))
      .Size("T", Sum(q))
      .Size("Tc", Sum(n))
      .Size("max_q", Most(q))
      .Size("max_n", Most(n))
      .Size("blocks", blocks);
}

void NsaCompressAttentionInfer(ContractCall* c) {
  Random& random = c->random();
  SetWindows(c);
  c->Set("key_value_head_num", SetHeads(c, "N2"));
  const bool padded = c->Coin();
  const bool several = c->Coin();
  const int64_t batch = random.Between(0, 3);
  const int64_t page = random.Between(1, 9);
  const std::vector<int64_t> q =
      several ? Lengths(batch, 4, &random) : std::vector<int64_t>(static_cast<size_t>(batch), 1);
  const std::vector<int64_t> tokens = Lengths(batch, 60, &random);
  const int64_t block = c->size("compress_block_size");
  std::vector<int64_t> n;
  for (int64_t length : tokens)
    n.push_back(length < block ? 0 : (length - block) / c->size("compress_stride") + 1);
  const Pages pages(n, page, 2, &random);
  SetPages(c, pages, batch);
  SetPart(c, Most(n));
  c->Set("layout", std::string(padded ? "BSND" : "TND"))
      .Set("page_block_size", page)
      .Set("actual_cmp_seq_kvlen", n)
      .Size("B", batch)
      .Size("S", std::max<int64_t>(Most(q), several ? 0 : 1) + random.Below(3))
      .Size("T", Sum(q))
      .Size("pages", pages.count)
      .Omit("atten_mask");
  if (several || c->Coin()) c->Set("actual_seq_qlen", q);
  const bool causal = c->Coin();
  c->Set("selection", std::string(causal ? "causal" : "device"));
  if (!causal && random.Below(3) == 0) return;
  c->Set("actual_sel_seq_kvlen", tokens);
  if (c->Coin()) c->call().Tensor("atten_mask", DType::kUInt8, {2, 3}, [](int64_t) { return 1.0; });
}

// --- attention over selected blocks

void SetSelection(ContractCall* c, int64_t longest) {
  Random& random = c->random();
  const int64_t block = random.Between(1, 9);
  const int64_t count = random.Between(0, 8);
  const int64_t blocks = longest / block + 2;
  c->Set("select_block_size", block)
      .Set("select_block_count", count)
      .Set("scale_value", 0.05 + random.Uniform())
      .Size("K", count)
      .Size("D", c->SomeSize(24))
      .Size("D2", c->SomeSize(24))
      .Values("topk_indices", [&random, blocks](int64_t) {
        return std::floor(static_cast<double>(blocks) * random.Uniform()) -
               (random.Uniform() < 0.02 ? 1000 : 0);
      });
}

// Statistics that need not be those of the scores.
void SetStatistics(ContractCall* c) {
  Random& random = c->random();
  c->Values("softmax_max", [&random](int64_t) {
     return 3 * random.Normal();
   }).Values("softmax_sum", [&random](int64_t) { return 1 + 20 * random.Uniform(); });
}

void NsaCompressAttentionGrad(ContractCall* c) {
  Random& random = c->random();
  SetHeads(c, "N2");
  SetStatistics(c);
  const int64_t sequences = random.Between(0, 3);
  const std::vector<int64_t> q = Lengths(sequences, 9, &random);
  const std::vector<int64_t> n = Lengths(sequences, 30, &random);
  const bool causal = random.Below(4) != 0;
  const int64_t stride = random.Between(1, 4);
  c->Set("causal", causal);
  if (causal) {
    c->Set("compress_stride", stride)
        .Set("compress_block_size", random.Between(stride, 4 * stride));
    if (random.Below(4) != 0)
      c->Set("actual_raw_seq_kvlen", Prefix(Lengths(sequences, 100, &random)));
  }
  c->Values("key_limits",
            [&random, most = Most(n)](int64_t) {
              return static_cast<double>(random.Between(-2, most + 2));
            })
      .Set("scale_value", 0.05 + random.Uniform())
      .Set("actual_seq_qlen", Prefix(q))
      .Set("actual_cmp_seq_kvlen", Prefix(n))
      .Size("D", c->SomeSize(24))
      .Size("D2", c->SomeSize(24))
      .Size("T", Sum(q))
      .Size("Tc", Sum(n))
      .Size("max_q", Most(q))
      .Size("max_n", Most(n));
}

void NsaSelectedAttention(ContractCall* c) {
  Random& random = c->random();
  SetHeads(c, "N2");
  const int64_t sequences = random.Between(0, 3);
  const std::vector<int64_t> q = Lengths(sequences, 6, &random);
  const std::vector<int64_t> n = Lengths(sequences, 40, &random);
  const int64_t modes[] = {0, 2, 3};
  SetSelection(c, Most(n));
  c->Set("actual_seq_qlen", Prefix(q))
      .Set("actual_seq_kvlen", Prefix(n))
      .Set("sparse_mode", modes[random.Below(3)])
      .Size("T", Sum(q))
      .Size("Tk", Sum(n));
}

void NsaSelectedAttentionGrad(ContractCall* c) {
  NsaSelectedAttention(c);
  SetStatistics(c);
}

void NsaSelectedAttentionInfer(ContractCall* c) {
  Random& random = c->random();
  c->Set("key_value_head_num", SetHeads(c, "N2"));
  const bool several = c->Coin();
  const int64_t batch = random.Between(0, 3);
  const int64_t page = random.Between(1, 9);
  const std::vector<int64_t> q =
      several ? Lengths(batch, 4, &random) : std::vector<int64_t>(static_cast<size_t>(batch), 1);
  const std::vector<int64_t> n = Lengths(batch, 40, &random);
  const Pages pages(n, page, 2, &random);
  SetPages(c, pages, batch);
  SetSelection(c, Most(n));
  c->Set("layout", std::string(c->Coin() ? "BSND" : "TND"))
      .Set("page_block_size", page)
      .Set("actual_seq_kvlen", n)
      .Set("return_softmax_lse", random.Below(3) != 0)
      .Size("B", batch)
      .Size("S", std::max<int64_t>(Most(q), several ? 0 : 1) + random.Below(3))
      .Size("T", Sum(q))
      .Size("pages", pages.count);
  if (several || c->Coin()) c->Set("actual_seq_qlen", q);
}

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

void LightningIndexer(ContractCall* c) {
  Random& random = c->random();
  Tokens t = DrawTokens(c);
  t.out_float32 = false;
  CompressSomeKeys(&t, &random);
  const Placement place(t, &random);
  const int64_t dim = random.Between(1, 40);
  SetTokenSizes(c, t);
  SetSequences(&c->call(), t, place, "key");
  c->call().Strided("key", t.dtype, place.Shape(dim), t.gap, place.Values(dim, &random));
  c->Size("N", random.Between(1, 6))
      .Size("D", dim)
      .Set("sparse_count", random.Between(0, 20))
      .Set("sparse_mode", SomeMode(c));
  if (c->Coin())
    c->Type("weights", DType::kFloat32);
  else
    c->Type("weights", t.dtype);
  // A shadow that knows nothing, whatever is read as what: true of any keys.
  const std::vector<int64_t> shape = place.Shape(dim);  // [Bk or pages,] keys, 1, dim
  c->Size("Bk", shape[0])
      .Size("pages", shape[0])
      .Size("panels", prim::ShadowPanels(shape[shape.size() - 3]))
      .Size("panel_bytes", prim::ShadowPanelBytes(dim))
      .Values("key_shadow", [](int64_t) { return 255.0; });
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
  const int64_t latent = parts.latent;
  const bool in_key = parts.row && parts.row->scales_apart;
  const int64_t rope = parts.row && !in_key ? parts.row->rope_dim : parts.rope.value_or(0);
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

void LocalizeIndices(ContractCall* c) {
  Random& random = c->random();
  const int64_t world = random.Between(1, 5);
  c->Size("T", c->SomeSize(5))
      .Size("K", c->SomeSize(12))
      .Set("world", world)
      .Set("rank", random.Below(world))
      .Set("interleave", random.Between(1, 4))
      .Values("indices", [&](int64_t) {
        return random.Uniform() < 0.1 ? -1 : std::floor(100 * random.Uniform());
      });
}

struct Recipe {
  const char* op;
  void (*draw)(ContractCall*);
};
constexpr Recipe kRecipes[] = {{"nsa_compress", &NsaCompress},
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
                               {"sparse_flash_attention", &SparseFlashAttention},
                               {"sparse_attention_pto", &SparseAttentionPto},
                               {"pack_kv_rows", &PackKvRows},
                               {"unpack_kv_rows", &UnpackKvRows},
                               {"merge_attention_states", &MergeAttentionStates},
                               {"merge_topk", &MergeTopk},
                               {"localize_indices", &LocalizeIndices}};

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

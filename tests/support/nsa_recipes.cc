// Recipes of the operators of Native Sparse Attention.
#include <cmath>
#include <string>
#include <vector>

#include "base/checked.h"
#include "tests/support/recipes.h"

namespace tamis::test {
namespace {

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
}  // namespace

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

}  // namespace tamis::test

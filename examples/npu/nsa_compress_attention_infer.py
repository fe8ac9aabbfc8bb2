"""Document 000: one decoding step of two sequences over a paged cache of compressed keys."""

import torch
import torch_npu
from agreement import compare

torch.manual_seed(0)
batch, heads, kv_heads, key_dim, value_dim = 2, 16, 2, 192, 128
page, block, stride, select_block, select_count = 64, 32, 16, 64, 8
counts = [255, 100]  # compressed keys of each sequence
tokens = [(count - 1) * stride + block for count in counts]
scale = key_dim**-0.5
query = torch.randn(batch, heads, key_dim, dtype=torch.float16).npu()
key = torch.randn(6, page, kv_heads * key_dim, dtype=torch.float16).npu()
value = torch.randn(6, page, kv_heads * value_dim, dtype=torch.float16).npu()
block_table = torch.tensor([[4, 0, 2, 5], [1, 3, -1, -1]], dtype=torch.int32).npu()

out, blocks = torch_npu.npu_nsa_compress_attention_infer(
    query,
    key,
    value,
    scale,
    heads,
    kv_heads,
    select_block,
    select_count,
    page,
    block,
    stride,
    block_table=block_table,
    actual_cmp_seq_kvlen=counts,
    actual_sel_seq_kvlen=tokens,
)

for b, count in enumerate(counts):
    pages = block_table[b, : -(-count // page)].long()
    keys = key[pages].reshape(-1, kv_heads, key_dim)[:count].float()
    values = value[pages].reshape(-1, kv_heads, value_dim)[:count].float()
    group = heads // kv_heads
    scores = scale * torch.einsum("hd,khd->hk", query[b].float(), keys.repeat_interleave(group, 1))
    expected = torch.einsum("hk,khd->hd", scores.softmax(-1), values.repeat_interleave(group, 1))
    compare(f"sequence {b}", out[b], expected)
print(f"sequence 0 reads blocks {blocks[0, 0].tolist()}")

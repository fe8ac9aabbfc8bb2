"""Document 002: causal attention of a prompt over its compressed keys, and the selected blocks."""

import torch
import torch_npu
from agreement import compare

torch.manual_seed(0)
queries, heads, kv_heads = 1024, 16, 2
block, stride, select_block, select_count = 32, 16, 64, 4
keys = (queries - block) // stride + 1
scale = 192**-0.5
query = torch.randn(queries, heads, 192, dtype=torch.bfloat16).npu()
key = torch.randn(keys, kv_heads, 192, dtype=torch.bfloat16).npu()
value = torch.randn(keys, kv_heads, 128, dtype=torch.bfloat16).npu()
# A compressed key is hidden from tokens before the end of its window.
ends = torch.arange(keys) * stride + block - 1
hidden = (ends[None, :] > torch.arange(queries)[:, None]).npu()

out, blocks, softmax_max, softmax_sum = torch_npu.npu_nsa_compress_attention(
    query,
    key,
    value,
    scale,
    heads,
    block,
    stride,
    select_block,
    select_count,
    atten_mask=hidden,
    actual_seq_qlen=[queries],
    actual_cmp_seq_kvlen=[keys],
    actual_sel_seq_kvlen=[queries // select_block],
)

group = heads // kv_heads
scores = scale * torch.einsum(
    "thd,khd->htk", query.float(), key.float().repeat_interleave(group, 1)
)
scores = scores.masked_fill(hidden, -torch.finfo(torch.float32).max)
probabilities = torch.softmax(scores, -1)
expected = torch.einsum("htk,khd->thd", probabilities, value.float().repeat_interleave(group, 1))
compare("attention", out, expected)

# The device writes the statistics of a sequence as [heads, tokens, 8].
maximum = softmax_max.reshape(heads, queries, 8)[:, :, 0]
total = softmax_sum.reshape(heads, queries, 8)[:, :, 0]
seen = slice(block - 1, None)  # tokens that see a key
compare("softmax maximum", maximum[:, seen], scores.amax(-1)[:, seen], 1e-3)
sums = torch.exp(scores - scores.amax(-1, keepdim=True)).sum(-1)
compare("softmax sum", total[:, seen], sums[:, seen], 1e-3)
print(f"the last token reads blocks {blocks[-1, 0].tolist()}")

"""Document 001: two packed sequences, compressed to weighted sums over windows of 32 tokens."""

import torch
import torch_npu
from agreement import compare

torch.manual_seed(0)
lengths, heads, dim, block, stride = [200, 120], 4, 192, 32, 16
tokens = torch.randn(sum(lengths), heads, dim, dtype=torch.float16).npu()
weight = torch.rand(block, heads, dtype=torch.float16, device="npu")

compressed = torch_npu.npu_nsa_compress(tokens, weight, block, stride, actual_seq_len=[200, 320])

windows = [
    (sequence[i : i + block].float() * weight.float()[:, :, None]).sum(0)
    for sequence in tokens.split(lengths)
    for i in range(0, len(sequence) - block + 1, stride)
]
compare("compressed keys", compressed, torch.stack(windows))

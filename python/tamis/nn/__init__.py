"""Attention layers of torch, made of the operators.

`DeepSeekSparseAttention` is the attention of DeepSeek-V3.2, `NativeSparseAttention` that of the
paper of its name; both go from hidden states to hidden states. `NativeCompressedAttention` is the
compressed branch of the latter, from queries, keys and values to attention and selected blocks.

Batches are packed: the new tokens of all sequences one after the other, and `counts`, how many are
of each. A cache remembers the rest, so a long prompt may come in chunks, and a step of decoding is
a call with one new token, or a few, per sequence. `torch.compile(layer, fullgraph=True)` gives the
same bits. Layers of Native Sparse Attention train where they are called without a cache,
`DeepSeekSparseAttention` by `attend_training`.
"""

from tamis.nn.compressed import NativeCompressedAttention
from tamis.nn.deepseek import DeepSeekSparseAttention
from tamis.nn.flavour import Flavour
from tamis.nn.latent import mla_sparse_attention
from tamis.nn.memory import empty_in_huge_pages
from tamis.nn.native import Branches, NativeSparseAttention
from tamis.nn.page_table import PageTable
from tamis.nn.paged_cache import PagedCache
from tamis.nn.step import Step
from tamis.nn.training import Trained

__all__ = [
    "Branches",
    "DeepSeekSparseAttention",
    "Flavour",
    "NativeCompressedAttention",
    "NativeSparseAttention",
    "PageTable",
    "PagedCache",
    "Step",
    "Trained",
    "empty_in_huge_pages",
    "mla_sparse_attention",
]

"""The compressed branch of Native Sparse Attention: coarse attention, and where to look closely."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.nn.counts import Counts, counted
from tamis.nn.memory import sizes
from tamis.nn.paged_cache import PagedCache


@dataclass
class CompressedCache:
    """What decoding needs of the past.

    Parameters
    ----------
    windows : PagedCache
        compressed keys and values
    key_tails, value_tails : list of Tensor
        raw tokens of each sequence that windows to come will hold, fewer than a window
    lengths : list of int
        raw tokens of each sequence so far
    """

    windows: PagedCache
    key_tails: list[Tensor]
    value_tails: list[Tensor]
    lengths: list[int]

    def __repr__(self) -> str:
        """Sizes, not contents."""
        kept = [len(tail) for tail in self.key_tails]
        pools = self.windows.tensors.values()
        held = sum(t.nbytes for t in (*pools, *self.key_tails, *self.value_tails))
        return f"CompressedCache({sizes(lengths=self.lengths, kept=kept, bytes=held)})"

    def free(self, sequence: int) -> None:
        """Gives the pages of a sequence back, which is then empty."""
        self.windows.free(sequence)
        for tails in (self.key_tails, self.value_tails):
            tails[sequence] = tails[sequence][:0]
        self.lengths[sequence] = 0


class NativeCompressedAttention(torch.nn.Module):
    """Attention over compressed keys, and the blocks of raw keys that it points at.

    Every window of `compress_block_size` tokens, one every `compress_stride`, becomes one key and
    one value: sums of its tokens, weighted by `key_weight` and `value_weight` [block, kv heads].
    A query attends to the windows that end before it, or with it, and selects blocks by the
    attention that their windows get. Queries before the end of the first window attend to nothing:
    0. Inference only: the operators refuse tensors that require grad.

    Parameters
    ----------
    heads, kv_heads : int, default 64, 4
        N, a multiple of N2
    qk_dim, v_dim : int, default 192, 128
        D, D2
    compress_block_size, compress_stride : int, default 32, 16
        l, a multiple of d
    select_block_size, select_block_count : int, default 64, 16
        l', a multiple of d, and how many blocks to select
    dtype : torch.dtype, default torch.bfloat16
        or torch.float16
    """

    def __init__(
        self,
        *,
        heads: int = 64,
        kv_heads: int = 4,
        qk_dim: int = 192,
        v_dim: int = 128,
        compress_block_size: int = 32,
        compress_stride: int = 16,
        select_block_size: int = 64,
        select_block_count: int = 16,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        self.qk_dim, self.v_dim = qk_dim, v_dim
        self.stride = compress_stride
        self.compression = {
            "compress_block_size": compress_block_size,
            "compress_stride": compress_stride,
        }
        self.selection = {
            "select_block_size": select_block_size,
            "select_block_count": select_block_count,
        }
        mean = torch.full((compress_block_size, kv_heads), 1 / compress_block_size, dtype=dtype)
        self.key_weight = torch.nn.Parameter(mean, requires_grad=False)
        self.value_weight = torch.nn.Parameter(mean.clone(), requires_grad=False)

    def make_cache(self, *, sequences: int, pages: int, page_size: int = 64) -> CompressedCache:
        """An empty cache; a page holds `page_size` windows."""
        dtype = self.key_weight.dtype
        key, value = self.kv_heads * self.qk_dim, self.kv_heads * self.v_dim
        windows = PagedCache(
            {"key": (key,), "value": (value,)},
            sequences=sequences,
            pages=pages,
            page_size=page_size,
            dtype=dtype,
        )
        no_keys = torch.zeros(0, self.kv_heads, self.qk_dim, dtype=dtype)
        no_values = torch.zeros(0, self.kv_heads, self.v_dim, dtype=dtype)
        return CompressedCache(
            windows, [no_keys] * sequences, [no_values] * sequences, [0] * sequences
        )

    def extra_repr(self) -> str:
        """Sizes, as `repr` shows them."""
        dtype = self.key_weight.dtype
        window = self.kv_heads * (self.qk_dim + self.v_dim) * dtype.itemsize
        return sizes(
            heads=self.heads,
            kv_heads=self.kv_heads,
            qk_dim=self.qk_dim,
            v_dim=self.v_dim,
            **self.compression,
            **self.selection,
            dtype=dtype,
            bytes=sum(p.nbytes for p in self.parameters()),
            cache_bytes_per_window=window,
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        counts: Counts,
        cache: CompressedCache,
    ) -> tuple[Tensor, Tensor]:
        """Attention of new tokens to the windows of their sequence.

        The first tokens of all sequences are a prefill; later calls are steps of decoding, or
        further chunks. Attention is the same either way, selected blocks are not quite: a prefill
        selects for each token the first block, its own and the one before, whatever their score;
        a later call selects, for all of its tokens, the first block and the last two over which
        windows reach (see the pages of the two operators). Both list blocks that a token has not
        reached where there are not enough others: whoever attends to the blocks hides the future.

        Parameters
        ----------
        query, key, value : Tensor [T, N, D], [T, N2, D], [T, N2, D2]
            of the new tokens, packed, T = sum(counts)
        counts : sequence or array of int
            new tokens of each sequence of the cache, 0 for none
        cache : CompressedCache
            of `make_cache`; the new tokens are appended

        Returns
        -------
        attention : Tensor [T, N, D2]
            over compressed keys
        blocks : Tensor [T, N2, select_block_count] of int32
            numbers of select blocks, best first, then -1
        """
        counts = counted(counts, len(cache.lengths), query=query, key=key, value=value)
        first = not any(cache.lengths)
        keys, values, windows = self._compress(key, value, counts, cache)
        if first:
            return self._prefill(query, keys, values, counts, windows)
        return self._decode(query, counts, cache)

    def _compress(
        self, key: Tensor, value: Tensor, counts: list[int], cache: CompressedCache
    ) -> tuple[Tensor, Tensor, list[int]]:
        """The windows that the new tokens complete, packed and in the cache, and their counts."""
        length, stride = self.compression["compress_block_size"], self.stride
        key_tails, value_tails = (
            [torch.cat(pair) for pair in zip(tails, torch.split(new, counts), strict=True)]
            for tails, new in ((cache.key_tails, key), (cache.value_tails, value))
        )
        tokens = [len(tail) for tail in key_tails]
        windows = [max(n - length + stride, 0) // stride for n in tokens]
        keys, values = (
            torch.ops.tamis.nsa_compress(
                torch.cat(tails), weight, act_seq_len=list(accumulate(tokens)), **self.compression
            )
            for tails, weight in ((key_tails, self.key_weight), (value_tails, self.value_weight))
        )
        slots, _ = cache.windows.append(windows)
        for name, rows in (("key", keys), ("value", values)):
            cache.windows.tensors[name].flatten(0, 1)[slots] = rows.flatten(1)
        # A window to come starts where the last one did, and a stride on.
        cache.key_tails, cache.value_tails = (
            [tail[n * stride :].clone() for tail, n in zip(tails, windows, strict=True)]
            for tails in (key_tails, value_tails)
        )
        cache.lengths = [n + more for n, more in zip(cache.lengths, counts, strict=True)]
        return keys, values, windows

    def _prefill(
        self, query: Tensor, keys: Tensor, values: Tensor, counts: list[int], windows: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Windows that end later are hidden; first, own and previous block are selected."""
        length, block = self.compression["compress_block_size"], self.selection["select_block_size"]
        token = torch.arange(max(counts, default=0))[:, None]
        window = torch.arange(max(windows, default=0))
        candidate = torch.arange(-(-len(window) // (block // self.stride)))
        own = token // block
        out, blocks, _, _ = torch.ops.tamis.nsa_compress_attention(
            query,
            keys,
            values,
            scale_value=self.qk_dim**-0.5,
            head_num=self.heads,
            actual_seq_qlen=list(accumulate(counts)),
            actual_cmp_seq_kvlen=list(accumulate(windows)),
            atten_mask=window * self.stride + length - 1 > token,
            topk_mask=(candidate == 0) | (candidate == own) | (candidate == own - 1),
            masked_rows="zero",
            **self.compression,
            **self.selection,
        )
        return out, blocks

    def _decode(
        self, query: Tensor, counts: list[int], cache: CompressedCache
    ) -> tuple[Tensor, Tensor]:
        out, blocks = torch.ops.tamis.nsa_compress_attention_infer(
            query,
            cache.windows.tensors["key"],
            cache.windows.tensors["value"],
            cache.windows.block_table(),
            scale_value=self.qk_dim**-0.5,
            head_num=self.heads,
            key_value_head_num=self.kv_heads,
            page_block_size=cache.windows.page_size,
            atten_mask=torch.ones(1, 1, dtype=torch.bool),  # a switch: hide what ends later
            actual_seq_qlen=counts,
            actual_cmp_seq_kvlen=cache.windows.lengths,
            actual_sel_seq_kvlen=cache.lengths,
            masked_rows="zero",
            **self.compression,
            **self.selection,
        )
        return out, blocks

"""The compressed branch of Native Sparse Attention: coarse attention, and where to look closely."""

from __future__ import annotations

import torch
from torch import Tensor

from tamis.nn import compressed_step
from tamis.nn.counts import Counts
from tamis.nn.memory import sizes
from tamis.nn.paged_cache import PagedCache


class CompressedCache:
    """What decoding needs of the past.

    Parameters
    ----------
    windows : PagedCache
        compressed keys and values: `key` and `value`
    key_rows, value_rows : Tensor [sequences, compress_block_size, N2, D or D2]
        room for the raw tokens of each sequence that windows to come will hold
    stride : int
        of windows
    """

    def __init__(
        self, windows: PagedCache, key_rows: Tensor, value_rows: Tensor, stride: int
    ) -> None:
        self.windows = windows
        self._rows, self._stride = (key_rows, value_rows), stride
        self._lengths = torch.zeros(len(key_rows), dtype=torch.int64)

    def __repr__(self) -> str:
        """Sizes, not contents."""
        kept = [len(tail) for tail in self.key_tails]
        held = sum(t.nbytes for t in (*self.windows.tensors.values(), *self._rows))
        return f"CompressedCache({sizes(lengths=self.lengths, kept=kept, bytes=held)})"

    @property
    def lengths(self) -> list[int]:
        """Raw tokens of each sequence so far."""
        lengths: list[int] = self._lengths.tolist()
        return lengths

    @property
    def key_tails(self) -> list[Tensor]:
        """Raw keys of each sequence that windows to come will hold, fewer than a window."""
        return self._tails(self._rows[0])

    @property
    def value_tails(self) -> list[Tensor]:
        """Raw values, as `key_tails`."""
        return self._tails(self._rows[1])

    def state(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int]:
        """All that a step reads and changes, as `compressed_step.run` takes it."""
        windows = self.windows.tensors["key"], self.windows.tensors["value"]
        return self._lengths, *self._rows, *windows, *self.windows.table.state()

    def free(self, sequence: int) -> None:
        """Gives the pages of a sequence back, which is then empty."""
        self.windows.free(sequence)
        self._lengths[sequence] = 0

    def _tails(self, rows: Tensor) -> list[Tensor]:
        complete = zip(rows, self.lengths, self.windows.lengths, strict=True)
        return [row[: n - windows * self._stride] for row, n, windows in complete]


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

    def make_cache(self, **sizes: int) -> CompressedCache:
        """An empty cache; a page holds `page_size` windows.

        Parameters
        ----------
        **sizes : int
            `sequences`, `pages`, `page_size`, `pages_per_sequence` of a `PageTable`
        """
        dtype, kv_heads = self.key_weight.dtype, self.kv_heads
        dims = {"key": self.qk_dim, "value": self.v_dim}
        rows = {name: (kv_heads * dim,) for name, dim in dims.items()}
        windows = PagedCache(rows, None, dtype=dtype, **sizes)
        room = len(windows.lengths), len(self.key_weight), kv_heads
        keys, values = (torch.zeros(*room, dim, dtype=dtype) for dim in dims.values())
        return CompressedCache(windows, keys, values, self.stride)

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
        call = (query, key, value, self.key_weight, self.value_weight, *cache.state())
        sizes = (self.heads, self.stride, *self.selection.values())
        if torch.compiler.is_compiling():
            given = counts if isinstance(counts, Tensor) else torch.tensor(counts)
            attention, blocks = torch.ops.tamis_nn.compressed_attention(given, *call, *sizes)
            return attention, blocks
        return compressed_step.run(counts, *call, *sizes)

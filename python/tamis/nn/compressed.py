"""The compressed branch of Native Sparse Attention: coarse attention, and where to look closely."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from tamis.nn import native_step  # noqa: F401  (registers torch.ops.tamis_nn)
from tamis.nn.counts import Counts
from tamis.nn.memory import sizes
from tamis.nn.page_table import PageTable, Rows
from tamis.nn.paged_cache import PagedCache
from tamis.nn.rope import NO_ROPE
from tamis.nn.step import Step, run_step, step_of
from tamis.nn.whole import Whole, refuse_gradients, whole

Importance: TypeAlias = Literal["cann", "exact_overlap"]


class NativeCompressedAttention(torch.nn.Module):
    """Attention over compressed keys, and the blocks of raw keys that it points at.

    Every window of `compress_block_size` tokens, one every `compress_stride`, becomes one key and
    one value: sums of its tokens, weighted by `key_weight` and `value_weight` [block, kv heads].
    A query attends to the windows that end before it, or with it; queries before the end of the
    first window attend to nothing: 0. It selects blocks by the attention that their windows get:
    the first block, its own and the one before always, the others by their importance. Without
    a cache it trains; parameters do not require grad until `requires_grad_()`.

    Parameters
    ----------
    heads, kv_heads : int, default 64, 4
        N, a multiple of N2
    qk_dim, v_dim : int, default 192, 128
        D, D2
    compress_block_size, compress_stride : int, default 32, 16
        l, a multiple of d
    select_block_size, select_block_count : int, default 64, 16
        l', a multiple of d, and how many blocks to select, the three that always are among them
    importance : {"exact_overlap", "cann"}
        how a window counts for a block: by the tokens that they share, or as on the device
    dtype : torch.dtype, default torch.bfloat16
        or torch.float16, torch.float32
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
        importance: Importance = "exact_overlap",
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        self.qk_dim, self.v_dim = qk_dim, v_dim
        self.how: dict[str, Any] = {
            "compress_stride": compress_stride,
            "select_block_size": select_block_size,
            "select_block_count": select_block_count,
            "importance": importance,
        }
        rows = {"key": (kv_heads, qk_dim), "value": (kv_heads, v_dim)}
        self.cache_rows = rows | {f"{name}_windows": row for name, row in rows.items()}
        self.cache_strides = {f"{name}_windows": compress_stride for name in rows}
        self.cache_behind = compress_block_size - 1  # a window is written when its last token comes
        mean = torch.full((compress_block_size, kv_heads), 1 / compress_block_size, dtype=dtype)
        self.key_weight = torch.nn.Parameter(mean, requires_grad=False)
        self.value_weight = torch.nn.Parameter(mean.clone(), requires_grad=False)

    def make_cache(self, table: PageTable | None = None, **sizes: int) -> PagedCache:
        """An empty cache of raw keys and values, and of their windows, in the same pages.

        Parameters
        ----------
        table : PageTable, optional
            one for all layers of a model; a page has a multiple of `compress_stride` tokens
        **sizes : int
            without `table`: `sequences`, `pages` and so on of a `PageTable`
        """
        dtype = self.key_weight.dtype
        return PagedCache(
            self.cache_rows,
            table,
            strides=self.cache_strides,
            behind=self.cache_behind,
            dtype=dtype,
            **sizes,
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        counts: Counts | Step,
        cache: PagedCache | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attention of new tokens to the windows of their sequence.

        The bits of a token's row, and the blocks that it selects, do not depend on how its
        sequence was cut into calls. A call that is refused leaves the cache's lengths as they were.

        Parameters
        ----------
        query, key, value : Tensor [T, N, D], [T, N2, D], [T, N2, D2]
            of the new tokens, packed, T = sum(counts)
        counts : sequence or array of int, or Step
            new tokens of each sequence of the cache, 0 for none, which are appended; or, where
            layers share a table, a step of it
        cache : PagedCache, optional
            of `make_cache`; without one sequences begin and end here, and `attention` has a
            gradient

        Returns
        -------
        attention : Tensor [T, N, D2]
            over compressed keys
        blocks : Tensor [T, N2, select_block_count] of int32
            numbers of select blocks, the first, previous and own one first, the others best
            first, then -1
        """
        if cache is None:
            return self.attend_whole(query, key, value, whole(counts, query=query))
        refuse_gradients(self, query, key, value)
        return run_step(
            counts,
            cache,
            self._step,
            lambda step: self.attend(query, key, value, step, cache),
            query=query,
        )

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, cache: PagedCache
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, as a part of a step of the cache's table, shared or not."""
        cache.write(step.slots, key=key, value=value)
        pools = [cache.tensors[name] for name in self.cache_rows]
        where = step.ends, step.lengths, step.block_table
        attention, blocks = torch.ops.tamis_nn.compressed_attention(
            query, *pools, self.key_weight, self.value_weight, *where, **self.how
        )
        return attention, blocks

    def attend_whole(
        self, query: Tensor, key: Tensor, value: Tensor, lengths: Whole
    ) -> tuple[Tensor, Tensor]:
        """As `forward` without a cache, of lengths that are checked."""
        sizes = {
            "compress_block_size": len(self.key_weight),
            "compress_stride": self.how["compress_stride"],
        }
        short = [
            torch.ops.tamis.nsa_compress(rows, weight, act_seq_len=lengths.ends, **sizes)
            for rows, weight in ((key, self.key_weight), (value, self.value_weight))
        ]
        attention, blocks, *_ = torch.ops.tamis.nsa_compress_attention(
            query,
            *short,
            scale_value=self.qk_dim**-0.5,
            head_num=self.heads,
            compress_block_size=sizes["compress_block_size"],
            actual_seq_qlen=lengths.ends,
            actual_cmp_seq_kvlen=lengths.windows(*sizes.values()),
            causal=True,
            selection="causal",
            masked_rows="zero",
            **self.how,
        )
        return attention, blocks

    def _step(self, rows: Rows, table: PageTable) -> Step:
        return step_of(rows, table, NO_ROPE, self.key_weight.dtype)

    def extra_repr(self) -> str:
        """Sizes, as `repr` shows them."""
        dtype = self.key_weight.dtype
        token = self.kv_heads * (self.qk_dim + self.v_dim) * dtype.itemsize
        return sizes(
            heads=self.heads,
            kv_heads=self.kv_heads,
            qk_dim=self.qk_dim,
            v_dim=self.v_dim,
            compress_block_size=len(self.key_weight),
            **self.how,
            dtype=dtype,
            bytes=sum(p.nbytes for p in self.parameters()),
            cache_bytes_per_token=token + token // self.how["compress_stride"],
        )

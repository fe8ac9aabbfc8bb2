"""Native Sparse Attention: compressed, selected and sliding-window attention, and their gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tamis.nn.compressed import Importance, NativeCompressedAttention
from tamis.nn.counts import Counts
from tamis.nn.memory import sizes
from tamis.nn.page_table import PageTable, Rows
from tamis.nn.paged_cache import PagedCache
from tamis.nn.rope import rope_of, rotate
from tamis.nn.step import Step, new_step, run_step, step_of
from tamis.nn.whole import Whole, refuse_gradients, whole

# What gates start at, before the sigmoid: compressed, selected, window. The selected branch speaks
# first; where all begin alike, training does not learn to select.
_GATES = (0.0, 2.0, -1.0)


class Branches(NamedTuple):
    """What the branches give for T tokens.

    Parameters
    ----------
    compressed, selected, window : Tensor [T, N, D2]
        attention
    blocks : Tensor [T, N2, select_block_count] of int32
        those that the selected branch read, -1 past the last
    """

    compressed: Tensor
    selected: Tensor
    window: Tensor
    blocks: Tensor


class NativeSparseAttention(torch.nn.Module):
    """Attention to compressed keys, to blocks that those select, and to a window of the last keys.

    Every branch has keys and values of its own, projected from the same hidden states; gates of the
    hidden states, one per head and branch, weigh their outputs. Positions turn the queries and keys
    of the selected and the window branch; compressed keys are sums over windows of tokens, and have
    none. The defaults are those of the paper's 27B model ("Native Sparse Attention", Yuan et al.,
    2025). Without a cache the layer trains; parameters do not require grad until
    `requires_grad_()`.

    Parameters
    ----------
    hidden : int, default 2560
        H
    heads, kv_heads, qk_dim, v_dim : int
        N, a multiple of N2, D, D2
    compress_block_size, compress_stride, select_block_size, select_block_count, importance
        of `NativeCompressedAttention`
    window_size : int, default 512
        keys that the window branch sees, the token's own among them
    rope_dim : int, default 64
        channels of a head that turn, the first ones; 0: none
    rope_scaling : mapping, optional
        how positions turn, as `DeepSeekSparseAttention` takes it; None: default
    rope_theta : float, optional
        base of the frequencies; 10000 if `rope_scaling` has none
    dtype : torch.dtype, default torch.bfloat16
        of weights, activations and caches; or torch.float16, torch.float32

    Attributes
    ----------
    q_proj, k_proj, v_proj, g_proj, o_proj : torch.nn.Linear
        to N x D; to 3 x N2 x D and 3 x N2 x D2, branch by branch in the order of `Branches`; gates
        to N x 3, with a bias; from N x D2
    compressed : NativeCompressedAttention
        the compressed branch, with the weights of its windows
    """

    def __init__(
        self,
        *,
        hidden: int = 2560,
        heads: int = 64,
        kv_heads: int = 4,
        qk_dim: int = 192,
        v_dim: int = 128,
        compress_block_size: int = 32,
        compress_stride: int = 16,
        select_block_size: int = 64,
        select_block_count: int = 16,
        importance: Importance = "exact_overlap",
        window_size: int = 512,
        rope_dim: int = 64,
        rope_scaling: Mapping[str, Any] | None = None,
        rope_theta: float | None = None,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()
        if rope_dim % 2 or not 0 <= rope_dim <= qk_dim:
            raise ValueError(f"rope_dim: expected an even number up to {qk_dim}, got {rope_dim}")
        self.window_size = window_size
        self.rope = rope_of(rope_scaling, rope_theta, rope_dim)
        self.scale_value = qk_dim**-0.5
        self.compressed = NativeCompressedAttention(
            heads=heads,
            kv_heads=kv_heads,
            qk_dim=qk_dim,
            v_dim=v_dim,
            compress_block_size=compress_block_size,
            compress_stride=compress_stride,
            select_block_size=select_block_size,
            select_block_count=select_block_count,
            importance=importance,
            dtype=dtype,
        )
        raw = {"key": (kv_heads, qk_dim), "value": (kv_heads, v_dim)}
        self.cache_rows = self.compressed.cache_rows | {
            f"{branch}_{name}": row
            for branch in ("selected", "window")
            for name, row in raw.items()
        }

        def linear(width: int, out: int, bias: bool = False) -> torch.nn.Linear:
            return torch.nn.Linear(width, out, bias=bias, dtype=dtype)

        self.q_proj = linear(hidden, heads * qk_dim)
        self.k_proj = linear(hidden, 3 * kv_heads * qk_dim)
        self.v_proj = linear(hidden, 3 * kv_heads * v_dim)
        self.g_proj = linear(hidden, heads * 3, bias=True)
        self.o_proj = linear(heads * v_dim, hidden)
        torch.nn.init.normal_(self.g_proj.weight, std=0.1 * hidden**-0.5)
        with torch.no_grad():
            self.g_proj.bias.view(heads, 3).copy_(torch.tensor(_GATES))
        self.requires_grad_(False)

    def make_cache(self, table: PageTable | None = None, **sizes: int) -> PagedCache:
        """An empty cache for this layer, all branches in the same pages.

        Parameters
        ----------
        table : PageTable, optional
            one for all layers of a model; a page has a multiple of `compress_stride` tokens
        **sizes : int
            without `table`: `sequences`, `pages` and so on of a `PageTable`
        """
        part, dtype = self.compressed, self.q_proj.weight.dtype
        return PagedCache(
            self.cache_rows,
            table,
            strides=part.cache_strides,
            behind=part.cache_behind,
            dtype=dtype,
            **sizes,
        )

    def step(self, counts: Counts, table: PageTable) -> Step:
        """Makes room for new tokens in the caches of all layers that share a table.

        Parameters
        ----------
        counts : sequence or array of int
            new tokens of each sequence, 0 for none
        table : PageTable
            the new tokens are appended

        Returns
        -------
        Step
            for this layer, and all others whose positions turn as this one's

        Raises
        ------
        TypeError, ValueError, MemoryError
            As `PageTable.append`.
        """
        return new_step(counts, table, self._step)

    def forward(self, x: Tensor, counts: Counts | Step, cache: PagedCache | None = None) -> Tensor:
        """Attention of new tokens to themselves and to all before them.

        Projections are products of torch, whose rounding depends on the number of rows; `attend`
        does not. A call that is refused leaves the cache's lengths as they were.

        Parameters
        ----------
        x : Tensor [sum(counts), H]
            hidden states of the new tokens, packed
        counts : sequence or array of int, or Step
            new tokens of each sequence of the cache, 0 for none, which are appended; or, where
            layers share a table, what `step` made of them
        cache : PagedCache, optional
            of `make_cache`; without one sequences begin and end here, and what comes back has a
            gradient, of `x` and of all parameters

        Returns
        -------
        Tensor [sum(counts), H]
            hidden states
        """
        if cache is None:
            lengths = whole(counts, x=x)
            branches = self._attend_whole(*self.project(x), lengths)
            return self.output(self.gated(x, branches))
        refuse_gradients(self, x)
        return run_step(
            counts,
            cache,
            self._step,
            lambda step: self.output(self.gated(x, self._attend(*self.project(x), step, cache))),
            x=x,
        )

    def gated(self, x: Tensor, branches: Branches, heads: slice = slice(None)) -> Tensor:
        """What gates of the hidden states make of the branches of some heads: [T, heads, D2]."""
        gates = torch.sigmoid(self.g_proj(x).float()).unflatten(1, (self.compressed.heads, 3, 1))
        mixed: Tensor = sum(gates[:, heads, b] * branches[b].float() for b in range(3))
        return mixed.to(x.dtype)

    def output(self, mixed: Tensor) -> Tensor:
        """Hidden states of what gates made of all heads, [T, N, D2]."""
        out: Tensor = self.o_proj(mixed.flatten(1))
        return out

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of all branches, as `attend` takes them."""
        part = self.compressed
        query = self.q_proj(x).unflatten(1, (part.heads, part.qk_dim))
        key = self.k_proj(x).unflatten(1, (3, part.kv_heads, part.qk_dim))
        value = self.v_proj(x).unflatten(1, (3, part.kv_heads, part.v_dim))
        return query, key, value

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        counts: Counts | Step,
        cache: PagedCache | None = None,
    ) -> Branches:
        """The branches alone, before gates.

        The bits of a token's rows, and its blocks, do not depend on how its sequence was cut into
        calls.

        Parameters
        ----------
        query, key, value : Tensor [T, N, D], [T, 3, N2, D], [T, 3, N2, D2]
            of the new tokens, not turned; keys and values branch by branch
        counts, cache
            as `forward` takes them

        Returns
        -------
        Branches
        """
        if cache is None:
            return self._attend_whole(query, key, value, whole(counts, query=query))
        refuse_gradients(self, query, key, value)
        return run_step(
            counts,
            cache,
            self._step,
            lambda step: self._attend(query, key, value, step, cache),
            query=query,
        )

    def _step(self, rows: Rows, table: PageTable) -> Step:
        return step_of(rows, table, self.rope, torch.float32)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, cache: PagedCache
    ) -> Branches:
        compressed, blocks = self.compressed.attend(query, key[:, 0], value[:, 0], step, cache)
        query, key = (rotate(t, step.sin, step.cos) for t in (query, key[:, 1:]))
        cache.write(
            step.slots,
            selected_key=key[:, 0],
            selected_value=value[:, 1],
            window_key=key[:, 1],
            window_value=value[:, 2],
        )
        pools = cache.tensors
        selected = torch.ops.tamis_nn.selected_attention(
            query,
            pools["selected_key"],
            pools["selected_value"],
            blocks,
            step.ends,
            step.lengths,
            step.block_table,
            self.compressed.how["select_block_size"],
        )
        window = torch.ops.tamis.sliding_window_attention(
            query,
            pools["window_key"],
            pools["window_value"],
            step.block_table,
            step.ends,
            step.lengths,
            scale_value=self.scale_value,
            window_size=self.window_size,
            layout_query="TND",
            layout_kv="PA_BSND",
        )[0]
        return Branches(compressed, selected, window, blocks)

    def _attend_whole(self, query: Tensor, key: Tensor, value: Tensor, lengths: Whole) -> Branches:
        part = self.compressed
        compressed, blocks = part.attend_whole(query, key[:, 0], value[:, 0], lengths)
        turn = lengths.turn(self.rope)
        query, key = (rotate(t, *turn) for t in (query, key[:, 1:]))
        selected = torch.ops.tamis.nsa_selected_attention(
            query,
            key[:, 0],
            value[:, 1],
            blocks,
            scale_value=self.scale_value,
            head_num=part.heads,
            select_block_size=part.how["select_block_size"],
            select_block_count=part.how["select_block_count"],
            actual_seq_qlen=lengths.ends,
            actual_seq_kvlen=lengths.ends,
            sparse_mode=3,
        )[0]
        ends = torch.tensor(lengths.ends, dtype=torch.int32)
        window = torch.ops.tamis.sliding_window_attention(
            query,
            key[:, 1],
            value[:, 2],
            actual_seq_lengths_query=ends,
            actual_seq_lengths_kv=ends,
            scale_value=self.scale_value,
            window_size=self.window_size,
            layout_query="TND",
            layout_kv="TND",
        )[0]
        return Branches(compressed, selected, window, blocks)

    def extra_repr(self) -> str:
        """Sizes, as `repr` shows them."""
        weight = self.q_proj.weight
        row = sum(
            kv_heads * dim / self.compressed.cache_strides.get(name, 1)
            for name, (kv_heads, dim) in self.cache_rows.items()
        )
        return sizes(
            hidden=weight.shape[1],
            window_size=self.window_size,
            rope=self.rope.kind,
            rope_dim=2 * len(self.rope.frequencies),
            dtype=weight.dtype,
            bytes=sum(p.nbytes for p in self.parameters()),
            cache_bytes_per_token=int(row * weight.itemsize),
        )

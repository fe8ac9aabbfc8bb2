"""Native Sparse Attention over the ranks of a group."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, TypeVar, get_args

import torch
from torch import Tensor

from tamis.distributed.compressed import CompressedBranch
from tamis.distributed.group import Call, ContextGroup
from tamis.distributed.native_attention import attend_to_blocks, attend_to_window
from tamis.distributed.states import (
    State,
    gather_heads,
    heads_of,
    merge_over_ranks,
    states_message,
)
from tamis.distributed.step import DealtStep, commit_step, run_step, shard_pool
from tamis.distributed.table import DealtRows
from tamis.distributed.weights import checksum
from tamis.distributed.windows import WindowCache, WindowTable
from tamis.nn.counts import Counts
from tamis.nn.native import Branches, NativeSparseAttention
from tamis.nn.rope import rotate

T = TypeVar("T")
Compressed: TypeAlias = Literal["heads", "whole"]

# Rows of the selected and the window branch.
_DEALT = ("selected_key", "selected_value", "window_key", "window_value")


class _Queries(NamedTuple):
    """Of tokens, as the compressed branch takes them, and turned by their positions: [T, N, D]."""

    plain: Tensor
    turned: Tensor


class DealtNativeAttention(torch.nn.Module):
    """A layer of Native Sparse Attention whose raw keys lie on all ranks of a group.

    Keys and values of the selected and the window branch are dealt, each rank has a share of every
    sequence; compressed ones, few, are on all ranks. Of the raw keys and values that those are made
    of only the last ones are kept.

    Two ways in: `forward`, where every rank has the hidden states of all new tokens, as in
    decoding; and `prefill`, where ranks share the tokens of a chunk by `zigzag`. Both append to the
    same cache. The compressed branch and the selected blocks are those of one rank, bit for bit. In
    the other branches every rank attends to its own keys in fp32, and states are merged: an error
    like that of one rank, the same bits on any number of ranks with as many shards. Making one is a
    collective: sizes, dtypes and a checksum of the weights are compared.

    Parameters
    ----------
    layer : NativeSparseAttention
        the same weights on all ranks
    group : ContextGroup
        whose pages have a multiple of the layer's `select_block_size`
    compressed : {"heads", "whole"}
        of `forward`. "heads": ranks share the kv heads of the compressed branch, and send each
        other what those give and select; ranks that outnumber the kv heads wait. "whole": every
        rank computes all of it, and nothing is sent. The bits are the same

    Raises
    ------
    ValueError
        No such option, pages of another size; or ranks differ.
    """

    def __init__(
        self,
        layer: NativeSparseAttention,
        group: ContextGroup,
        *,
        compressed: Compressed = "heads",
    ) -> None:
        super().__init__()
        block, page = layer.compressed.how["select_block_size"], group.layout.page_size
        with group.alike(0) as call:
            if compressed not in get_args(Compressed):
                known = ", ".join(get_args(Compressed))
                raise ValueError(f"compressed: expected {known}, got {compressed}")
            if page % block:
                raise ValueError(
                    f"group: expected pages of a multiple of {block}, the layer's "
                    f"select_block_size, got page_size {page}"
                )
            call.agree()
        self.layer, self.group, self.compressed = layer, group, compressed
        self._weights = checksum(layer)
        group.require_equal(layer=repr(layer), compressed=compressed, weights=self._weights)
        self._branch = CompressedBranch(layer.compressed, group)

    def make_table(self, *, sequences: int, tokens: int, rollback: int = 64) -> WindowTable:
        """Lengths and pages for this layer's cache, and those of all others of a model.

        Parameters
        ----------
        sequences, tokens
            of `DealtTable`
        rollback : int, default 64
            tokens that `truncate` can always take back, such as drafts that were not accepted;
            every layer keeps `compress_block_size` - 1 and as many of each sequence, on all ranks
        """
        sizes = {"sequences": sequences, "tokens": tokens, "rollback": rollback}
        return WindowTable(self.group, self._branch.windows, **sizes)

    def make_cache(self, table: WindowTable) -> WindowCache:
        """An empty cache of this rank."""
        dtype = self.layer.q_proj.weight.dtype
        return WindowCache(self.layer.cache_rows, table, dtype=dtype, windows=("key", "value"))

    def step(self, counts: Counts, table: WindowTable) -> DealtStep:
        """Makes room for new tokens in the caches of all layers that share a table: a collective.

        A layer that fails may be called again with the same step; one that was done must not:
        tokens before a long step may be no longer kept.

        Raises
        ------
        RemoteError
            A rank has other counts or lengths, or no room; nothing has changed anywhere.
        """
        return commit_step(counts, table, self.layer.rope, torch.float32)

    def forward(self, x: Tensor, counts: Counts | DealtStep, cache: WindowCache) -> Tensor:
        """Attention of new tokens, whose hidden states every rank has.

        Parameters
        ----------
        x : Tensor [sum(counts), H]
            the same on all ranks
        counts : sequence or array of int, or DealtStep
            new tokens of each sequence, which are appended; or what `step` made of them
        cache : WindowCache

        Returns
        -------
        Tensor [sum(counts), H]
            the same on all ranks

        Raises
        ------
        RemoteError
            A rank was given something wrong, or had other counts or lengths. Lengths are as before,
            and the next call is right.
        RankLost
            A rank does not answer; the group is dead.
        """
        return self._run(x, counts, cache, self._call, self._forward)

    def attend(self, x: Tensor, counts: Counts | DealtStep, cache: WindowCache) -> Branches:
        """As `forward`, but the branches alone, before gates, of this rank's heads."""
        return self._run(x, counts, cache, self._call, self._attend)

    def prefill(self, x: Tensor, counts: Counts | DealtStep, cache: WindowCache) -> Tensor:
        """Attention of new tokens that ranks share by `zigzag`: long chunks.

        Every rank projects its own tokens, attends to windows and selects for them; queries of all
        go to all ranks, as every rank attends to its own keys. The bits of the branches are those
        of `forward`.

        Parameters
        ----------
        x : Tensor [own tokens, H]
            hidden states of `zigzag(counts, rank, world)`
        counts, cache
            as `forward`: those of all tokens

        Returns
        -------
        Tensor [own tokens, H]
            `unzigzag` puts those of all ranks in order
        """
        return self._run(x, counts, cache, self._prefill_call, self._prefill)

    def _run(
        self,
        x: Tensor,
        counts: Counts | DealtStep,
        cache: WindowCache,
        open_call: Callable[[DealtStep], Call],
        work: Callable[[Call, Tensor, DealtStep, WindowCache], T],
    ) -> T:
        def run(step: DealtStep) -> T:
            with open_call(step) as call:
                step.require(counts)
                call.compare((work.__name__, self._weights))
                return work(call, x, step, cache)

        return run_step(counts, cache.table, self.layer.rope, torch.float32, run)

    # --- every rank has all tokens -------------------------------------------------------------

    def _call(self, step: DealtStep) -> Call:
        part, tokens = self.layer.compressed, len(step.rows.positions)
        if self.compressed == "heads":
            sizes = self._branch.message_bytes(tokens)
            return self.group.call([sizes[self.group.rank]] * self.group.world, sizes)
        return self.group.call(*states_message(self.group, 2 * tokens, part.heads, part.v_dim))

    def _forward(self, call: Call, x: Tensor, step: DealtStep, cache: WindowCache) -> Tensor:
        branches = self._attend(call, x, step, cache)
        own = self.layer.gated(x, branches, self._heads)
        whole = gather_heads(self.group, call, own, self.layer.compressed.heads)
        return self.layer.output(whole)

    def _attend(self, call: Call, x: Tensor, step: DealtStep, cache: WindowCache) -> Branches:
        rows, tokens = step.rows, len(step.rows.positions)
        if len(x) != tokens:
            raise ValueError(f"x: expected {tokens} rows, as counts, got {len(x)}")
        query, raw, new = self._project(x, step.sin, step.cos)
        cache.compress(rows, raw, self._branch.weights)
        if self.compressed == "heads":
            compressed, blocks = self._branch.share_heads(call, query.plain, rows, cache)
        else:
            compressed, blocks = self._branch.attend(query.plain, rows, cache)
        own = rows.slots >= 0
        for name, of_pool in new.items():
            cache.tensors[name].flatten(0, 1)[rows.slots[own]] = of_pool[own]
        leaves = self._attend_to_shards(query.turned, blocks, rows, cache)
        merged = merge_over_ranks(self.group, call, leaves).to(x.dtype)
        cache.keep(rows, raw)
        return Branches(compressed[:, self._heads], merged[:tokens], merged[tokens:], blocks)

    # --- ranks share the tokens ----------------------------------------------------------------

    def _prefill_call(self, step: DealtStep) -> Call:
        weight, rows = self.layer.q_proj.weight, self.layer.cache_rows
        width = sum(math.prod(rows[name]) for name in _DEALT)
        return self.group.call(*step.shares.row_sizes(width * weight.itemsize))

    def _prefill(self, call: Call, x: Tensor, step: DealtStep, cache: WindowCache) -> Tensor:
        rows, shares = step.rows, step.shares
        own, tokens = shares.own, len(rows.positions)
        if len(x) != len(own):
            raise ValueError(f"x: expected {len(own)} rows, this rank's by zigzag, got {len(x)}")
        query, raw, new = self._project(x, step.sin[own], step.cos[own])
        pools = [cache.tensors[name] for name in _DEALT]
        shares.put(call, rows.slots, [new[name] for name in _DEALT], pools)
        given = [query.turned, *raw.values()]
        joined = shares.gather(call, torch.cat([part.flatten(1) for part in given], 1))
        parts = joined.split([math.prod(part.shape[1:]) for part in given], 1)
        turned, *every = (
            part.reshape(tokens, *like.shape[1:]) for part, like in zip(parts, given, strict=True)
        )
        raw = dict(zip(raw, every, strict=True))
        cache.compress(rows, raw, self._branch.weights)
        compressed, blocks = self._branch.attend(query.plain, rows, cache, tokens=own)
        leaves = self._attend_to_shards(turned, shares.gather(call, blocks), rows, cache)
        # Rows of the window branch lie behind those of the selected one.
        wanted = [torch.cat([part, part + tokens]) for part in shares.tokens]
        merged = merge_over_ranks(self.group, call, leaves, wanted).to(x.dtype)
        cache.keep(rows, raw)
        branches = Branches(compressed, merged[: len(own)], merged[len(own) :], blocks)
        return self.layer.output(self.layer.gated(x, branches))

    # --- what both do --------------------------------------------------------------------------

    @property
    def _heads(self) -> slice:
        return heads_of(self.layer.compressed.heads, self.group.world)[self.group.rank]

    def _project(
        self, x: Tensor, sin: Tensor, cos: Tensor
    ) -> tuple[_Queries, dict[str, Tensor], dict[str, Tensor]]:
        """Queries, rows that windows are made of, and rows of the other branches."""
        query, key, value = self.layer.project(x)
        turned, keys = (rotate(t, sin, cos) for t in (query, key[:, 1:]))
        raw = {"key": key[:, 0], "value": value[:, 0]}
        dealt = keys[:, 0], value[:, 1], keys[:, 1], value[:, 2]
        return _Queries(query, turned), raw, dict(zip(_DEALT, dealt, strict=True))

    def _attend_to_shards(
        self, query: Tensor, blocks: Tensor, rows: DealtRows, cache: WindowCache
    ) -> dict[int, State]:
        """By shard: rows of the selected branch, and behind them those of the window branch."""
        layout, rank, found = self.group.layout, self.group.rank, {}
        block_size = self.layer.compressed.how["select_block_size"]
        for shard in layout.held(rank):
            pools = {name: shard_pool(layout, rank, shard, cache.tensors[name]) for name in _DEALT}
            selected = attend_to_blocks(
                layout,
                shard,
                query,
                pools["selected_key"],
                pools["selected_value"],
                blocks,
                block_size,
                rows,
            )
            window = attend_to_window(
                layout,
                shard,
                query,
                pools["window_key"],
                pools["window_value"],
                self.layer.window_size,
                rows,
            )
            both = zip(selected, window, strict=True)
            found[shard] = State(*(torch.cat(parts) for parts in both))
        return found

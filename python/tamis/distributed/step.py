"""A step of a model, as one rank sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from tamis.distributed.group import ContextGroup
from tamis.distributed.layout import Layout
from tamis.distributed.shares import Shares
from tamis.distributed.table import DealtRows, DealtTable
from tamis.distributed.zigzag import zigzag
from tamis.nn.counts import Counts, as_counts
from tamis.nn.rope import Rope

T = TypeVar("T")


class Part(NamedTuple):
    """Some of a step's tokens, as a prolog takes them: `tamis.nn.deepseek_sources.Places`."""

    slots: Tensor
    sin: Tensor
    cos: Tensor
    positions: Tensor


@dataclass(frozen=True, eq=False)
class DealtStep:
    """What all layers of a model take in one step: T new tokens of B sequences.

    Parameters
    ----------
    group : ContextGroup
    rows : DealtRows
        where they go
    counts : list of int
        new tokens of each sequence
    sin, cos : Tensor [T, rope_dim]
        of their positions
    """

    group: ContextGroup
    rows: DealtRows
    counts: list[int]
    sin: Tensor
    cos: Tensor

    @cached_property
    def shares(self) -> Shares:
        """Who computes which tokens where ranks share them by `zigzag`, once for all layers."""
        rank, world, layout = self.group.rank, self.group.world, self.group.layout
        tokens = [zigzag(self.counts, of, world) for of in range(world)]
        owners = [layout.owner(self.rows.positions[part]) for part in tokens]
        return Shares(rank, tokens, owners)

    def require(self, counts: Counts | DealtStep) -> None:
        """Refuses another step than this one.

        Raises
        ------
        ValueError
            `counts` is a step, but not this.
        """
        if isinstance(counts, DealtStep) and counts is not self:
            raise ValueError("counts: expected the last step of the cache's table, got another")

    def part(self, slots: Tensor, tokens: Tensor | None = None) -> Part:
        """All tokens, or some, with slots to put their rows into."""
        turn = self.sin, self.cos, self.rows.positions
        return Part(slots, *(turn if tokens is None else (part[tokens] for part in turn)))


def new_step(counts: Counts, table: DealtTable, rope: Rope, dtype: torch.dtype) -> DealtStep:
    """Reserves room for new tokens on all ranks, or on none: a collective.

    Raises
    ------
    RemoteError
        A rank has other counts or lengths, or no room.
    """
    with table.group.alike(0) as call:
        rows = table.reserve(counts)
        call.agree((table.lengths, rows.lengths.tolist()))
    sin, cos = torch.ops.tamis_nn.turn(
        rows.positions, rope.frequencies, rope.attention_factor, dtype
    )
    return DealtStep(table.group, rows, as_counts("counts", counts), sin, cos)


def commit_step(counts: Counts, table: DealtTable, rope: Rope, dtype: torch.dtype) -> DealtStep:
    """As `new_step`, for all layers that share a table: the tokens are appended at once."""
    step = new_step(counts, table, rope, dtype)
    table.commit(step.rows)
    table.latest = step
    return step


def run_step(
    counts: Counts | DealtStep,
    table: DealtTable,
    rope: Rope,
    dtype: torch.dtype,
    work: Callable[[DealtStep], T],
) -> T:
    """What `work` makes of a step, and of a new one if `counts` is none: then it is committed.

    A step that is given is the last one of the table, the same on all ranks, as are its sizes:
    `work` is to say so of another, `DealtStep.require`, when others can hear it.
    """
    if isinstance(counts, DealtStep):
        return work(table.latest or counts)
    step = new_step(counts, table, rope, dtype)
    out = work(step)
    table.commit(step.rows)
    return out


class Keys(NamedTuple):
    """What T query tokens of B sequences may look at, as the operators take it.

    Parameters
    ----------
    ends : Tensor [B] of int32
        where the tokens of each sequence end among the T
    lengths : Tensor [B] of int32
        keys of each sequence that lie here
    limits : Tensor [T] of int32
        how many of those each token sees, the first ones
    block_table : Tensor [B, pages] of int32
    """

    ends: Tensor
    lengths: Tensor
    limits: Tensor
    block_table: Tensor


def rank_keys(layout: Layout, rank: int, rows: DealtRows) -> Keys:
    """Of all shards that a rank holds, in the order of the sequence."""
    limits = layout.local_length(rows.positions + 1, rank).int()
    return Keys(rows.ends, rows.own.lengths, limits, rows.block_table)


def shard_keys(layout: Layout, shard: int, rows: DealtRows) -> Keys:
    """Of one shard that this rank holds."""
    lengths = layout.shard_length(rows.lengths, shard)
    limits = layout.shard_length(rows.positions + 1, shard).int()
    return Keys(rows.ends, lengths, limits, rows.block_table)


def whole_keys(rows: DealtRows) -> Keys:
    """Of rows that every rank holds."""
    assert rows.whole_block_table is not None
    return Keys(rows.ends, rows.lengths, (rows.positions + 1).int(), rows.whole_block_table)


def shard_pool(layout: Layout, rank: int, shard: int, pool: Tensor) -> Tensor:
    """The rows of one shard in a rank's pool [pages, held * page_size, ...]: a view."""
    held = layout.held(rank)
    return pool.unflatten(1, (len(held), layout.page_size))[:, shard - held.start]


def pick(keys: Keys, tokens: Tensor) -> Keys:
    """For some of the T tokens alone, ascending."""
    counts = torch.searchsorted(tokens, keys.ends.long()).int()
    return Keys(counts, keys.lengths, keys.limits[tokens], keys.block_table)


def sequences_of(ends: Tensor, tokens: Tensor | None = None) -> Tensor:
    """Whose each of the T tokens is, or of some."""
    places = torch.arange(int(ends[-1])) if tokens is None else tokens
    return torch.searchsorted(ends.long(), places, right=True)


def runs(sequence: Tensor, positions: Tensor) -> list[int]:
    """Tokens that follow each other: how many there are in each run of neighbours."""
    breaks = (torch.diff(sequence) != 0) | (torch.diff(positions) != 1)
    edges = [0, *(breaks.nonzero().flatten() + 1).tolist(), len(positions)]
    return [b - a for a, b in pairwise(edges) if b > a]

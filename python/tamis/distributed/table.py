"""Which slots of its caches hold a rank's share of each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tamis.distributed.group import ContextGroup
from tamis.distributed.memory import pages_of
from tamis.nn.counts import Counts, as_counts, counted
from tamis.nn.page_table import PageTable, Rows, reserve

if TYPE_CHECKING:
    from tamis.distributed.step import DealtStep


class DealtRows(NamedTuple):
    """Room for the new tokens of a step, T of B sequences, as one rank sees it.

    Parameters
    ----------
    slots : Tensor [T] of int64
        of every token in this rank's caches; -1 where another rank holds it
    positions : Tensor [T] of int64
        of every token in its sequence
    ends : Tensor [B] of int32
        where the new tokens of each sequence end among the T
    lengths : Tensor [B] of int32
        tokens of each sequence on all ranks, the new ones included
    own : Rows
        those of this rank's `PageTable`
    block_table : Tensor [B, pages] of int32
        of that table
    whole : Rows, optional
        those of the table of rows that every rank holds
    whole_block_table : Tensor [B, pages] of int32, optional
        of that table
    """

    slots: Tensor
    positions: Tensor
    ends: Tensor
    lengths: Tensor
    own: Rows
    block_table: Tensor
    whole: Rows | None
    whole_block_table: Tensor | None


class DealtTable:
    """Lengths and pages of sequences that are dealt to the ranks of a group.

    As `tamis.nn.PageTable`, with the same lengths on all ranks. A page of this table has room for
    one page of every shard that the rank holds, one after the other. Nothing here communicates:
    every rank makes the same calls.

    Parameters
    ----------
    group : ContextGroup
    sequences : int
        how many there are; each is empty at first
    tokens : int
        room, of all sequences and ranks together; every sequence may waste a page per shard
    replicated : bool, default False
        whether there are rows that every rank holds, too: index keys
    """

    def __init__(
        self, group: ContextGroup, *, sequences: int, tokens: int, replicated: bool = False
    ) -> None:
        self.group, layout = group, group.layout
        held = len(layout.held(group.rank))
        rounds = pages_of(tokens, layout.period, sequences)
        self.own = PageTable(sequences=sequences, pages=rounds, page_size=held * layout.page_size)
        self.whole: PageTable | None = None
        if replicated:
            pages = pages_of(self.replicas(tokens), layout.page_size, sequences)
            self.whole = PageTable(sequences=sequences, pages=pages, page_size=layout.page_size)
        self._lengths = torch.zeros(sequences, dtype=torch.int32)
        # Views, as tensors never move: making them takes longer than what is done with them.
        self._numbers, self._held = self._lengths.numpy(), self.own.state()[0].numpy()
        self.latest: DealtStep | None = None  # what ranks agreed on for all layers of a model

    def replicas(self, length: int) -> int:
        """Rows that every rank holds of the first `length` tokens of a sequence: one each."""
        return length

    def beside(self) -> dict[str, Tensor]:
        """What a checkpoint needs beside lengths, by name: [sequences] each, here none."""
        return {}

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence, on all ranks together."""
        lengths: list[int] = self._lengths.tolist()
        return lengths

    def reserve(self, counts: Counts, **packed: Tensor) -> DealtRows:
        """Room for new tokens, as `PageTable.reserve`: `commit` makes it so."""
        found = counted(counts, len(self._numbers), **packed)
        layout, rank = self.group.layout, self.group.rank
        new = np.array(found, np.int64)
        before = self._numbers.astype(np.int64)
        after = before + new
        local = layout.local_length(after, rank) - self._held
        own = reserve(local.tolist(), *self.own.state())
        whole = None
        if self.whole is not None:
            rows = [[self.replicas(n) for n in lengths.tolist()] for lengths in (before, after)]
            whole = self.whole.reserve([n - m for m, n in zip(*rows, strict=True)])
        ends = new.cumsum()
        positions = np.arange(sum(found)) + (after - ends).repeat(new)
        slots = np.full(len(positions), -1)
        slots[layout.holds(positions, rank)] = own.slots.numpy()
        return DealtRows(
            torch.from_numpy(slots),
            torch.from_numpy(positions),
            torch.from_numpy(ends.astype(np.int32)),
            torch.from_numpy(after.astype(np.int32)),
            own,
            self.own.block_table(),
            whole,
            None if self.whole is None else self.whole.block_table(),
        )

    def commit(self, rows: DealtRows) -> None:
        """Reserved rows are there, on all ranks."""
        self.own.commit(rows.own)
        if self.whole is not None:
            assert rows.whole is not None
            self.whole.commit(rows.whole)
        self._lengths.copy_(rows.lengths)

    def truncate(self, lengths: Counts) -> None:
        """Forgets the last tokens of sequences, as `PageTable.truncate`."""
        kept = as_counts("lengths", lengths)
        if len(kept) != len(self._lengths) or not all(
            0 <= k <= n for k, n in zip(kept, self.lengths, strict=True)
        ):
            raise ValueError(f"lengths: expected at most {self.lengths}, got {kept}")
        rank, layout = self.group.rank, self.group.layout
        self.own.truncate([layout.local_length(length, rank) for length in kept])
        if self.whole is not None:
            self.whole.truncate([self.replicas(length) for length in kept])
        self._lengths.copy_(torch.tensor(kept))

    def reorder(self, sources: Counts) -> None:
        """Every sequence becomes what another one was, as `PageTable.reorder`."""
        self.own.reorder(sources)
        if self.whole is not None:
            self.whole.reorder(sources)
        becomes = torch.tensor(as_counts("sources", sources))
        self._lengths.copy_(torch.where(becomes < 0, 0, self._lengths[becomes]))

    def free(self, sequence: int) -> None:
        """Gives the pages of a sequence back, which is then empty."""
        self.truncate([0 if b == sequence else n for b, n in enumerate(self.lengths)])

"""Which pages of a pool hold the rows of which sequence."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tamis.nn.counts import Counts, as_counts, counted

_Array = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Room for the new rows of a step, T = sum(counts), of B sequences.

    Parameters
    ----------
    slots : Tensor [T] of int64
        page * page_size + row in the page of each new row, sequence by sequence
    positions : Tensor [T] of int64
        of each new row in its sequence
    ends : Tensor [B] of int32
        where the new rows of each sequence end among the T
    lengths : Tensor [B] of int32
        rows of each sequence, the new ones included
    taken : Tensor [] of int64
        pages that all sequences have taken then
    """

    slots: Tensor
    positions: Tensor
    ends: Tensor
    lengths: Tensor
    taken: Tensor


class PageTable:
    """Whose pages are whose: one for the caches of all layers of a model.

    Row `p` of sequence `b` lies in page `block_table()[b, p // page_size]` at `p % page_size`.
    Sequences take pages from the pool as they grow, the one that was given back last first. All
    state is in tensors of the CPU that never move; a step costs what its new rows and the number
    of sequences cost, however long the sequences are. After `reorder` sequences may share pages,
    but never one that is still to be written.

    Parameters
    ----------
    sequences : int
        how many there are; each is empty at first
    pages : int
        in the pool, for all sequences together
    page_size : int, default 64
        rows in a page
    pages_per_sequence : int, optional
        columns of the table: the most that one sequence may take; by default all of the pool.
        The table takes 4 bytes per sequence and column
    """

    def __init__(
        self,
        *,
        sequences: int,
        pages: int,
        page_size: int = 64,
        pages_per_sequence: int | None = None,
    ) -> None:
        columns = pages if pages_per_sequence is None else min(pages, pages_per_sequence)
        columns = min(columns, (2**31 - 1) // page_size)  # lengths are int32
        self.page_size = page_size
        self._table = torch.from_numpy(np.full((sequences, columns), -1, np.int32))
        self._lengths = torch.from_numpy(np.zeros(sequences, np.int32))
        # Behind as many entries as pages are taken: the others, the next one to take first.
        self._pool = torch.from_numpy(np.arange(pages, dtype=np.int32))
        self._taken = torch.zeros((), dtype=torch.int64)
        self._tensors: list[weakref.ref[Tensor]] = []
        self._behind = 0

    @property
    def lengths(self) -> list[int]:
        """Rows of each sequence."""
        lengths: list[int] = self._lengths.tolist()
        return lengths

    @property
    def pages(self) -> int:
        """Pages of the pool, taken or not."""
        return len(self._pool)

    @property
    def unused(self) -> int:
        """Pages that no sequence has taken."""
        return len(self._pool) - int(self._taken)

    def block_table(self) -> Tensor:
        """Pages of each sequence: [sequences, pages_per_sequence] of int32.

        It is the table itself: the same tensor at every call, changed in place. Entries past the
        pages that the rows of a sequence reach mean nothing; the operators do not read them.
        """
        return self._table

    def attach(self, tensors: Iterable[Tensor], behind: int = 0) -> None:
        """Names tensors [pages, ...] whose pages are copied where sequences part.

        They are not kept alive.

        Parameters
        ----------
        tensors : iterable of Tensor
        behind : int, default 0
            how many of the last rows of a sequence have something in their page that is written
            when later rows come: sequences do not share such pages
        """
        self._tensors += map(weakref.ref, tensors)
        self._behind = max(self._behind, behind)

    def append(self, counts: Counts) -> tuple[Tensor, Tensor]:
        """Makes room for new rows.

        Parameters
        ----------
        counts : sequence or array of int
            new rows of each sequence, 0 for none

        Returns
        -------
        slots : Tensor [sum(counts)] of int64
            page * page_size + row of each new row, sequence by sequence
        positions : Tensor [sum(counts)] of int64
            of each new row in its sequence

        Raises
        ------
        TypeError
            `counts` holds something else than integers.
        ValueError
            `counts` does not have one number, at least 0, per sequence.
        MemoryError
            The pool has too few pages left, or a sequence would have more than
            `pages_per_sequence`; nothing has changed.
        """
        rows = self.reserve(counts)
        self.commit(rows)
        return rows.slots, rows.positions

    def reserve(self, counts: Counts, **packed: Tensor) -> Rows:
        """The first half of `append`: whoever fills the rows calls `commit` when they are there.

        Until then no length changes and no page counts as taken, so that a step that fails on the
        way leaves nothing behind; reserving again gives the same rows. In `torch.compile`, too.

        Parameters
        ----------
        counts : sequence or array of int
            as `append` takes them
        **packed : Tensor
            at most one: it has a row for every new row

        Returns
        -------
        Rows

        Raises
        ------
        TypeError, ValueError, MemoryError
            As `append`, and where `packed` has another number of rows.
        """
        if torch.compiler.is_compiling():
            given = counts if isinstance(counts, Tensor) else torch.tensor(counts)
            ((name, tensor),) = packed.items()
            return Rows(*torch.ops.tamis_nn.reserve(given, name, tensor.shape[0], *self.state()))
        return reserve(counted(counts, len(self._lengths), **packed), *self.state())

    def state(self) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """Lengths, pages taken, pool, table and page size, as the function `reserve` takes them."""
        return self._lengths, self._taken, self._pool, self._table, self.page_size

    def commit(self, rows: Rows, after: Sequence[Tensor] = ()) -> None:
        """The second half of `append`: reserved rows are there.

        Parameters
        ----------
        rows : Rows
            of `reserve`
        after : sequence of Tensor
            what must be computed before: a compiler orders a graph by what depends on what alone
        """
        if torch.compiler.is_compiling():
            torch.ops.tamis_nn.commit(*self.state()[:2], rows.lengths, rows.taken, list(after))
        else:
            _commit(*self.state()[:2], rows.lengths, rows.taken, after)

    def truncate(self, lengths: Counts) -> None:
        """Forgets the last rows of sequences: draft tokens that were not accepted.

        Parameters
        ----------
        lengths : sequence or array of int
            rows that each sequence keeps, at most those that it has

        Raises
        ------
        ValueError
            There is not one number per sequence, or a sequence has fewer rows; nothing has
            changed.
        MemoryError
            A page that sequences share would be cut, and the pool has none left for its copy;
            nothing has changed.
        """
        lengths, before = as_counts("lengths", lengths), self.lengths
        fit = len(lengths) == len(before) and all(
            0 <= kept <= n for kept, n in zip(lengths, before, strict=True)
        )
        if not fit:
            raise ValueError(f"lengths: expected at most {before}, got {lengths}")
        self._arrange("lengths", np.arange(len(lengths)), np.array(lengths, np.int64))

    def reorder(self, sources: Counts) -> None:
        """Every sequence becomes what another one was, as beams do.

        Pages that nothing will be written to are shared, not copied; of the others, a last page
        that is not full among them, every sequence but one gets a copy, in the tensors that
        `attach` named.

        Parameters
        ----------
        sources : sequence or array of int
            for each sequence the one that it becomes, itself among them; -1: it becomes empty

        Raises
        ------
        ValueError
            There is not one source per sequence, or one that there is not; nothing has changed.
        MemoryError
            The pool has too few pages for the copies; nothing has changed.
        """
        given, count = as_counts("sources", sources), len(self._lengths)
        if len(given) != count or not all(-1 <= source < count for source in given):
            raise ValueError(
                f"sources: expected {count} numbers from -1 to {count - 1}, got {given}"
            )
        becomes = np.array(given, np.int64)
        lengths = np.where(becomes < 0, 0, self._lengths.numpy()[becomes])
        self._arrange("sources", becomes, lengths)

    def _arrange(self, argument: str, sources: _Array, lengths: _Array) -> None:
        """Sequence b has the first `lengths[b]` rows of what `sources[b]` was."""
        table, pool = self._table.numpy(), self._pool.numpy()
        need = _pages(lengths, self.page_size)
        entries = _ragged(np.zeros_like(need), need)
        held = table[sources[entries[0]], entries[1]]
        # Pages that will be written must be of one sequence alone: the last one, unless it is full,
        # and those of the last rows where something in them is behind.
        settled = np.maximum(lengths - self._behind, 0) // self.page_size
        last = np.flatnonzero(entries[1] >= settled[entries[0]])
        full = np.delete(held, last)
        alone = last[np.unique(held[last], return_index=True)[1]]  # the first of those that share
        parting = np.setdiff1d(last, alone[~np.isin(held[alone], full)])
        taken = np.unique(held)
        new = pool[~np.isin(pool, taken)]  # in the order of the pool: given back last, taken first
        if len(parting) > len(new):
            raise MemoryError(
                f"{argument}: expected at most {len(new)} copies of pages, got {len(parting)}"
            )
        copies = new[: len(parting)]
        to, of = (torch.from_numpy(pages.astype(np.int64)) for pages in (copies, held[parting]))
        for known in self._tensors if len(to) > 0 else ():
            if (tensor := known()) is not None:
                tensor[to] = tensor[of]
        held[parting] = copies
        table.fill(-1)
        table[entries] = held
        self._pool.copy_(torch.from_numpy(np.concatenate([taken, new])))
        self._taken.fill_(len(taken) + len(copies))
        self._lengths.copy_(torch.from_numpy(lengths))

    def free(self, sequence: int) -> None:
        """Gives the pages of a sequence back, which is then empty."""
        self.truncate([0 if b == sequence else n for b, n in enumerate(self.lengths)])


def _pages(rows: _Array, page_size: int) -> _Array:
    return (rows + (page_size - 1)) // page_size


def _ragged(begins: _Array, counts: _Array) -> tuple[_Array, _Array]:
    """Sequence and place of `counts[b]` items of every sequence, from `begins[b]` on."""
    sequence = np.arange(len(counts)).repeat(counts)
    shift = begins + counts - counts.cumsum()
    return sequence, np.arange(len(sequence)) + shift[sequence]


def reserve(
    counts: list[int],
    lengths: Tensor,
    taken: Tensor,
    pool: Tensor,
    block_table: Tensor,
    page_size: int,
) -> Rows:
    """`PageTable.reserve`, from counts that are checked and a `PageTable.state`."""
    table, new = block_table.numpy(), np.array(counts, np.int64)
    before = lengths.numpy().astype(np.int64)
    after = before + new
    have, need = _pages(before, page_size), _pages(after, page_size)
    more = need - have
    used, missing = int(taken), int(more.sum())
    if missing:  # most steps of decoding need none
        if missing > len(pool) - used:
            left = len(pool) - used
            raise MemoryError(f"counts: expected at most {left} new pages, got {missing}")
        most = int(need.max())
        if most > table.shape[1]:
            raise MemoryError(
                f"counts: expected at most {table.shape[1]} pages for sequence {need.argmax()}, "
                f"got {most}"
            )
        table[_ragged(have, more)] = pool.numpy()[used : used + missing]
    sequence, positions = _ragged(before, new)
    page, row = np.divmod(positions, page_size)
    slots = table[sequence, page].astype(np.int64) * page_size + row
    ends, total = np.cumsum(new).astype(np.int32), np.array(used + missing, np.int64)
    return Rows(*map(torch.from_numpy, (slots, positions, ends, after.astype(np.int32), total)))


def _reserve_in_graph(
    counts: Tensor,
    name: str,
    rows: int,
    lengths: Tensor,
    taken: Tensor,
    pool: Tensor,
    block_table: Tensor,
    page_size: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    packed = {name: torch.empty(rows, 0)}
    return reserve(
        counted(counts, len(lengths), **packed), lengths, taken, pool, block_table, page_size
    )


def _fake_reserve(
    counts: Tensor,
    name: str,
    rows: int,
    lengths: Tensor,
    taken: Tensor,
    pool: Tensor,
    block_table: Tensor,
    page_size: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    slots = lengths.new_empty((rows,), dtype=torch.int64)
    ends, after = torch.empty_like(lengths), torch.empty_like(lengths)
    return slots, torch.empty_like(slots), ends, after, torch.empty_like(taken)


torch.library.custom_op("tamis_nn::reserve", _reserve_in_graph, mutates_args=("block_table",))
torch.library.register_fake("tamis_nn::reserve", _fake_reserve)


def _commit(
    lengths: Tensor, taken: Tensor, new_lengths: Tensor, new_taken: Tensor, after: Sequence[Tensor]
) -> None:
    del after
    lengths.copy_(new_lengths)
    taken.copy_(new_taken)


torch.library.custom_op("tamis_nn::commit", _commit, mutates_args=("lengths", "taken"))

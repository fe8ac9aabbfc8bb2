"""Rows of several growing sequences, in pages of one pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tamis.nn.counts import Counts, as_counts, counted
from tamis.nn.memory import empty_in_huge_pages, sizes


class PagedCache:
    """A pool of pages, and which of them hold the rows of which sequence.

    Row `p` of sequence `b` lies in page `block_table()[b, p // page_size]` at `p % page_size`, the
    same in every tensor. Pages are taken from the pool as sequences grow.

    Parameters
    ----------
    rows : mapping of str to sequence of int
        shape of one row of each tensor, by its name
    sequences : int
        how many there are; each is empty at first
    pages : int
        in the pool, for all sequences together
    page_size : int, default 64
        rows in a page
    dtype : torch.dtype, default torch.bfloat16
        of the tensors

    Attributes
    ----------
    tensors : dict of str to Tensor [pages, page_size, ...]
        the pool, zero at first; in pages of memory of 2 MiB, where the kernel has them
    lengths : list of int
        rows of each sequence
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[int]],
        *,
        sequences: int,
        pages: int,
        page_size: int = 64,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.page_size = page_size
        self.lengths = [0] * sequences
        self.tensors = {
            name: empty_in_huge_pages((pages, page_size, *row), dtype).zero_()
            for name, row in rows.items()
        }
        self._unused = list(range(pages))
        self._pages: list[list[int]] = [[] for _ in range(sequences)]

    def __repr__(self) -> str:
        """Sizes, not contents."""
        rows = {name: list(pool.shape[2:]) for name, pool in self.tensors.items()}
        return f"PagedCache({self._sizes()}, rows={rows})"

    def _sizes(self) -> str:
        pools = list(self.tensors.values())
        return sizes(
            sequences=len(self.lengths),
            lengths=self.lengths,
            page_size=self.page_size,
            pages=len(self._unused) + sum(map(len, self._pages)),
            unused=len(self._unused),
            dtype=pools[0].dtype if pools else None,
            bytes=sum(pool.nbytes for pool in pools),
        )

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
            The pool has too few pages left; nothing has changed.
        """
        counts = counted(counts, len(self.lengths))
        lengths = [length + count for length, count in zip(self.lengths, counts, strict=True)]
        missing = [
            -(-length // self.page_size) - len(pages)
            for length, pages in zip(lengths, self._pages, strict=True)
        ]
        if sum(missing) > len(self._unused):
            raise MemoryError(
                f"counts: expected at most {len(self._unused)} new pages, got {sum(missing)}"
            )
        for pages, more in zip(self._pages, missing, strict=True):
            pages += self._unused[:more]
            del self._unused[:more]
        spans = list(zip(self.lengths, lengths, strict=True))
        self.lengths = lengths
        positions = torch.cat([torch.arange(begin, end) for begin, end in spans])
        sequence = torch.repeat_interleave(torch.tensor(counts))
        page = self.block_table()[sequence, positions // self.page_size].long()
        return page * self.page_size + positions % self.page_size, positions

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
        """
        lengths = as_counts("lengths", lengths)
        fit = len(lengths) == len(self.lengths) and all(
            0 <= kept <= n for kept, n in zip(lengths, self.lengths, strict=True)
        )
        if not fit:
            raise ValueError(f"lengths: expected at most {self.lengths}, got {lengths}")
        for pages, kept in zip(self._pages, lengths, strict=True):
            needed = -(-kept // self.page_size)
            self._unused += pages[needed:]
            del pages[needed:]
        self.lengths = lengths

    def block_table(self) -> Tensor:
        """Pages of each sequence: [sequences, most pages] of int32, -1 past the last."""
        table = torch.full((len(self._pages), max(map(len, self._pages), default=0)), -1)
        for row, pages in zip(table, self._pages, strict=True):
            row[: len(pages)] = torch.tensor(pages)
        return table.int()

    def free(self, sequence: int) -> None:
        """Gives the pages of a sequence back, which is then empty."""
        self.truncate([0 if b == sequence else n for b, n in enumerate(self.lengths)])

"""Rows of several growing sequences, in pages of one pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tamis.nn.counts import Counts
from tamis.nn.memory import empty_in_huge_pages, sizes
from tamis.nn.page_table import PageTable


class PagedCache:
    """The rows of one layer, in a pool of pages, and the table that says where they lie.

    Row `p` of sequence `b` lies in page `block_table()[b, p // page_size]` at `p % page_size`, the
    same in every tensor. Pages are taken from the pool as sequences grow.

    Parameters
    ----------
    rows : mapping of str to sequence of int
        shape of one row of each tensor, by its name
    table : PageTable, optional
        of a whole model: it is appended to once per step, for the caches of all layers
    dtype : torch.dtype, default torch.bfloat16
        of the tensors
    **sizes : int
        without `table`: what a `PageTable` of this cache alone takes (`sequences`, `pages`,
        `page_size`, `pages_per_sequence`)

    Attributes
    ----------
    tensors : dict of str to Tensor [pages, page_size, ...]
        the pool, zero at first; in pages of memory of 2 MiB, where the kernel has them
    table : PageTable
        where `append`, `truncate`, `free` and `block_table` act
    shared : bool
        whether the table was given
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[int]],
        table: PageTable | None = None,
        *,
        dtype: torch.dtype = torch.bfloat16,
        **sizes: int,
    ) -> None:
        if table is not None and sizes:
            raise TypeError(f"{', '.join(sizes)}: expected no sizes beside table, which has them")
        self.shared = table is not None
        self.table = table if table is not None else PageTable(**sizes)
        self.tensors = {
            name: empty_in_huge_pages((self.table.pages, self.page_size, *row), dtype).zero_()
            for name, row in rows.items()
        }

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
            pages=self.table.pages,
            unused=self.table.unused,
            dtype=pools[0].dtype if pools else None,
            bytes=sum(pool.nbytes for pool in pools),
        )

    @property
    def lengths(self) -> list[int]:
        """Rows of each sequence."""
        return self.table.lengths

    @property
    def page_size(self) -> int:
        """Rows in a page."""
        return self.table.page_size

    def append(self, counts: Counts) -> tuple[Tensor, Tensor]:
        """Makes room for new rows, see `PageTable.append`."""
        return self.table.append(counts)

    def truncate(self, lengths: Counts) -> None:
        """Forgets the last rows of sequences, see `PageTable.truncate`."""
        self.table.truncate(lengths)

    def block_table(self) -> Tensor:
        """Pages of each sequence, see `PageTable.block_table`."""
        return self.table.block_table()

    def free(self, sequence: int) -> None:
        """Gives the pages of a sequence back, which is then empty."""
        self.table.free(sequence)

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
    same in every tensor. Pages are taken from the pool as sequences grow. Of a tensor with a stride
    a page has fewer rows: row `i` lies in the page of row `i * stride` of the others.

    Parameters
    ----------
    rows : mapping of str to sequence of int
        shape of one row of each tensor, by its name
    table : PageTable, optional
        of a whole model: it is appended to once per step, for the caches of all layers
    strides : mapping of str to int, optional
        of tensors that have one row for so many: page_size / stride in a page
    behind : int, default 0
        how many tokens after the one that such a row begins with its last one may come
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
        where `append`, `truncate`, `free`, `reorder` and `block_table` act
    shared : bool
        whether the table was given
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[int]],
        table: PageTable | None = None,
        *,
        strides: Mapping[str, int] | None = None,
        behind: int = 0,
        dtype: torch.dtype = torch.bfloat16,
        **sizes: int,
    ) -> None:
        if table is not None and sizes:
            raise TypeError(f"{', '.join(sizes)}: expected no sizes beside table, which has them")
        self.shared = table is not None
        self.table = table if table is not None else PageTable(**sizes)
        strides = strides or {}
        for name, stride in strides.items():
            if self.page_size % stride:
                raise ValueError(
                    f"page_size: expected a multiple of {stride}, the stride of {name}, "
                    f"got {self.page_size}"
                )
        held = {name: self.page_size // strides.get(name, 1) for name in rows}
        self.tensors = {
            name: empty_in_huge_pages((self.table.pages, held[name], *row), dtype).zero_()
            for name, row in rows.items()
        }
        self.table.attach(self.tensors.values(), behind)

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

    def write(self, slots: Tensor, **rows: Tensor) -> None:
        """Puts rows into tensors of the cache.

        Parameters
        ----------
        slots : Tensor [T] of int64
            of `append`, or of a step
        **rows : Tensor [T, ...]
            new rows, by the tensors' names

        Raises
        ------
        ValueError
            Rows are not as many as slots, or have another shape or dtype than the tensor's;
            nothing has changed.
        """
        for name, new in rows.items():
            pool = self.tensors[name]
            expected = (len(slots), *pool.shape[2:])
            if tuple(new.shape) != expected or new.dtype != pool.dtype:
                raise ValueError(
                    f"{name}: expected {pool.dtype} of shape {list(expected)}, "
                    f"got {new.dtype} of {list(new.shape)}"
                )
        for name, new in rows.items():
            self.tensors[name].flatten(0, 1)[slots] = new

    def append(self, counts: Counts) -> tuple[Tensor, Tensor]:
        """Makes room for new rows, see `PageTable.append`."""
        return self.table.append(counts)

    def truncate(self, lengths: Counts) -> None:
        """Forgets the last rows of sequences, see `PageTable.truncate`."""
        self.table.truncate(lengths)

    def reorder(self, sources: Counts) -> None:
        """Every sequence becomes what another one was, see `PageTable.reorder`."""
        self.table.reorder(sources)

    def block_table(self) -> Tensor:
        """Pages of each sequence, see `PageTable.block_table`."""
        return self.table.block_table()

    def free(self, sequence: int) -> None:
        """Gives the pages of a sequence back, which is then empty."""
        self.table.free(sequence)

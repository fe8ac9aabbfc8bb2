"""A layer's share of cached rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tamis.distributed.table import DealtTable
from tamis.nn.paged_cache import PagedCache


class DealtCache:
    """The rows of one layer that a rank holds, in the pages of a `DealtTable`.

    Parameters
    ----------
    rows : mapping of str to sequence of int
        shape of one row of each tensor, by its name
    table : DealtTable
        of a whole model
    dtype : torch.dtype
        of the tensors
    replicated : collection of str
        of tensors whose rows every rank holds, all of them

    Attributes
    ----------
    tensors : dict of str to Tensor [pages, page_size, ...]
        the pools, zero at first
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[int]],
        table: DealtTable,
        *,
        dtype: torch.dtype = torch.bfloat16,
        replicated: Sequence[str] = (),
    ) -> None:
        self.table, self.replicated = table, tuple(replicated)
        dealt = {name: row for name, row in rows.items() if name not in self.replicated}
        self.tensors: dict[str, Tensor] = dict(PagedCache(dealt, table.own, dtype=dtype).tensors)
        if self.replicated:
            if table.whole is None:
                raise ValueError(
                    f"table: expected one with replicated=True for {', '.join(replicated)}, "
                    "got one without"
                )
            whole = {name: rows[name] for name in self.replicated}
            self.tensors |= PagedCache(whole, table.whole, dtype=dtype).tensors
        self.tensors = {name: self.tensors[name] for name in rows}

    def beside(self) -> dict[str, Tensor]:
        """What a checkpoint needs beside pools, by name: [sequences, ...] each, here none."""
        return {}

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence, on all ranks together."""
        return self.table.lengths

    def __repr__(self) -> str:
        """Sizes, not contents."""
        rows = {name: list(pool.shape[2:]) for name, pool in self.tensors.items()}
        held = sum(pool.nbytes for pool in self.tensors.values())
        return f"DealtCache(lengths={self.lengths}, bytes={held}, rows={rows})"

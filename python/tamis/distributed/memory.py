"""What a rank's caches take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import NamedTuple

import torch

from tamis.distributed.layout import Layout


class MemoryPlan(NamedTuple):
    """Bytes of one rank, the one that has most.

    Parameters
    ----------
    dealt : int
        rows of which a rank has its share
    replicated : int
        rows that every rank has
    tables : int
        which page is whose
    """

    dealt: int
    replicated: int
    tables: int

    @property
    def total(self) -> int:
        """All together."""
        return sum(self)


def memory_plan(
    tokens: int,
    world: int,
    rows: Mapping[str, Sequence[int]],
    *,
    layers: int = 1,
    sequences: int = 1,
    shards: int | None = None,
    page_size: int = 64,
    dtype: torch.dtype = torch.bfloat16,
    replicated: Collection[str] = (),
) -> MemoryPlan:
    """What the caches of a model will take, before anything is allocated.

    Parameters
    ----------
    tokens : int
        n: of all sequences together, as `DealtTable` takes them
    world : int
        W ranks
    rows : mapping of str to sequence of int
        shape of one row of each tensor: a layer's `cache_rows`
    layers, sequences, shards, page_size
        of the model, its table and its group
    dtype : torch.dtype, default torch.bfloat16
    replicated : collection of str
        tensors whose rows every rank holds

    Returns
    -------
    MemoryPlan
        With V shards in pages of p tokens, a rank that holds s of them has
        `(ceil(n / (V p)) + sequences - 1) s p` rows of each dealt tensor and layer.
    """
    layout = Layout(world if shards is None else shards, page_size, world).checked()
    held = max(len(layout.held(rank)) for rank in range(world))
    rounds = pages_of(tokens, layout.period, sequences)
    pages = pages_of(tokens, page_size, sequences) if replicated else 0
    widths = {name: prod(row) * dtype.itemsize * layers for name, row in rows.items()}
    whole = sum(width for name, width in widths.items() if name in replicated)
    dealt = sum(widths.values()) - whole
    return MemoryPlan(
        rounds * held * page_size * dealt,
        pages * page_size * whole,
        (sequences + 1) * (rounds + pages) * 4,
    )


def pages_of(tokens: int, page_size: int, sequences: int) -> int:
    """Pages that so many tokens may take, however they are spread over sequences."""
    return -(-tokens // page_size) + sequences - 1

"""A step of a model: new tokens of its sequences, as every layer takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from tamis.nn.counts import Counts
from tamis.nn.page_table import PageTable, Rows
from tamis.nn.paged_cache import PagedCache
from tamis.nn.rope import Rope

T = TypeVar("T")


class Step(NamedTuple):
    """What all layers of a model take in one step: T new tokens of B sequences.

    Parameters
    ----------
    slots : Tensor [T] of int64
        where each token's row lies in the caches
    sin, cos : Tensor [T, rope_dim]
        of its position; without channels where no positions turn
    ends : Tensor [B] of int32
        where the new tokens of each sequence end among the T
    lengths : Tensor [B] of int32
        tokens of each sequence, the new ones included
    block_table : Tensor [B, pages_per_sequence] of int32
        of the `PageTable`
    positions : Tensor [T] of int64
        of each token in its sequence
    """

    slots: Tensor
    sin: Tensor
    cos: Tensor
    ends: Tensor
    lengths: Tensor
    block_table: Tensor
    positions: Tensor


def step_of(rows: Rows, table: PageTable, rope: Rope, dtype: torch.dtype) -> Step:
    """The step of reserved rows; sines and cosines are of `dtype`."""
    sin, cos = torch.ops.tamis_nn.turn(
        rows.positions, rope.frequencies, rope.attention_factor, dtype
    )
    return Step(rows.slots, sin, cos, rows.ends, rows.lengths, table.block_table(), rows.positions)


def new_step(counts: Counts, table: PageTable, make: Callable[[Rows, PageTable], Step]) -> Step:
    """Makes room for new tokens in all caches that share a table."""
    rows = table.reserve(counts)
    table.commit(rows)
    return make(rows, table)


def run_step(
    counts: Counts | Step,
    cache: PagedCache,
    make: Callable[[Rows, PageTable], Step],
    attend: Callable[[Step], T],
    **packed: Tensor,
) -> T:
    """What `attend` makes of a step.

    Parameters
    ----------
    counts : Counts or Step
        a step of the cache's table, which is shared, or new tokens of each sequence: those are
        appended to the cache's own table unless something fails
    make
        the step of rows of a table
    **packed : Tensor
        one that has a row for every new token
    """
    table = cache.table
    if isinstance(counts, Step):
        if counts.block_table is not table.block_table():
            raise ValueError("counts: expected a step of the cache's table, got another's")
        return attend(counts)
    if cache.shared:
        raise ValueError("counts: expected what step() made of them, as layers share the table")
    rows = table.reserve(counts, **packed)
    out = attend(make(rows, table))
    table.commit(rows, _tensors(out))
    return out


def _tensors(out: object) -> list[Tensor]:
    if isinstance(out, Tensor):
        return [out]
    return [tensor for part in out for tensor in _tensors(part)] if isinstance(out, tuple) else []

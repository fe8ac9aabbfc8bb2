"""Sequences of rows in one tensor: padded to the longest, or in a cache of pages.

Pages are dealt from the last one down: no sequence's pages are in order, and the first and the
last page of a cache are nobody's. What is no row of a sequence holds a fill, NaN by default.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from formulation import Floats


def hide(parts: list[Floats], counts: list[int], unseen: float = np.nan) -> list[Floats]:
    """The sequences with so many first rows of each overwritten."""
    hidden = [part.copy() for part in parts]
    for part, count in zip(hidden, counts, strict=True):
        part[:count] = unseen
    return hidden


def pad(parts: list[Floats], fill: float = np.nan) -> Floats:
    """One tensor [B, longest, ...] with `fill` past the ends."""
    longest = max([*(len(part) for part in parts), 1])
    padded = np.full((len(parts), longest, *parts[0].shape[1:]), fill)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    return padded


def block_table(
    lengths: list[int], page: int, unread: list[int] | None = None
) -> npt.NDArray[np.int32]:
    """The pages of sequences: -1 past the end, out of range for so many first pages of each."""
    needed = [-(-length // page) for length in lengths]
    table = np.full((len(needed), max([*needed, 1])), -1, np.int32)
    free = sum(needed)
    for row, count in zip(table, needed, strict=True):
        row[:count] = np.arange(free, free - count, -1)
        free -= count
    if unread is not None:
        for row, count in zip(table, unread, strict=True):
            row[:count] = 1 << 30
    return table


def deal(parts: list[Floats], page: int, fill: float = np.nan) -> Floats:
    """The cache [pages, page, ...] that the table is of, with `fill` wherever no row is."""
    table = block_table([len(part) for part in parts], page)
    cache = np.full((int(table.max(initial=0)) + 2, page, *parts[0].shape[1:]), fill)
    for row, part in zip(table, parts, strict=True):
        for i in range(-(-len(part) // page)):
            chunk = part[i * page : (i + 1) * page]
            cache[row[i], : len(chunk)] = chunk
    return cache

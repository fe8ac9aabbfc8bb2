"""Which rank holds which positions of a sequence."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

Number = TypeVar("Number", int, Tensor, npt.NDArray[np.int64])  # positions, one or many


class Layout(NamedTuple):
    """Keys are dealt to virtual shards, a page at a time; a rank holds neighbouring shards.

    Position `p` belongs to shard `p // page_size % shards`. Rank `r` of `world` holds the shards
    from `r * shards // world` up to `(r + 1) * shards // world`; its own keys lie in the order of
    the sequence. Results depend on the number of shards, never on how many ranks hold them.

    Parameters
    ----------
    shards : int
        V, at least `world`
    page_size : int
        neighbouring positions that are dealt together
    world : int
        ranks
    """

    shards: int
    page_size: int
    world: int

    def checked(self) -> Layout:
        """The layout itself.

        Raises
        ------
        ValueError
            There are fewer shards than ranks, or a size below 1.
        """
        for name, least in (("page_size", 1), ("world", 1), ("shards", self.world)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        return self

    @property
    def period(self) -> int:
        """Positions in one round of dealing."""
        return self.shards * self.page_size

    def held(self, rank: int) -> range:
        """Shards of a rank."""
        return range(rank * self.shards // self.world, (rank + 1) * self.shards // self.world)

    def owner(self, position: Number) -> Number:
        """The rank that holds a position."""
        shard = position // self.page_size % self.shards
        return ((shard + 1) * self.world - 1) // self.shards

    def holds(self, position: Number, rank: int) -> Any:
        """Whether a rank holds a position: a bool, or as many."""
        held = self.held(rank)
        first, width = held.start * self.page_size, len(held) * self.page_size
        return (position - first) % self.period < width

    def local(self, position: Number, rank: int) -> Number:
        """Where a position of its own lies among a rank's keys."""
        held = self.held(rank)
        first, width = held.start * self.page_size, len(held) * self.page_size
        return position // self.period * width + (position % self.period - first)

    def globalise(self, local: Number, rank: int) -> Number:
        """The position of a rank's key: the inverse of `local`."""
        held = self.held(rank)
        first, width = held.start * self.page_size, len(held) * self.page_size
        return local // width * self.period + first + local % width

    def local_length(self, length: Number, rank: int) -> Number:
        """How many of the first `length` positions a rank holds."""
        found: Number = self._length(length, self.held(rank))
        return found

    def shard_length(self, length: Number, shard: int) -> Number:
        """How many of the first `length` positions a shard has."""
        found: Number = self._length(length, range(shard, shard + 1))
        return found

    def _length(self, length: Number, held: range) -> Number:
        first, width = held.start * self.page_size, len(held) * self.page_size
        rest = length % self.period - first
        found: Number = length // self.period * width + _between(rest, width)
        return found


def _between(number: Any, most: int) -> Any:
    """The number, or what is nearest to it from 0 to `most`."""
    if isinstance(number, int):
        return min(max(number, 0), most)
    if isinstance(number, np.ndarray):
        return np.minimum(np.maximum(number, 0), most)  # clip takes longer than both
    return number.clamp(0, most)

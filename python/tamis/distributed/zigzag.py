"""How the new tokens of a long prompt are shared among ranks, each with as much to look at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tamis.nn.counts import Counts, as_counts


def zigzag(counts: Counts, rank: int, world: int) -> Tensor:
    """Which of a chunk's packed tokens a rank computes.

    Late tokens see more keys than early ones. So every sequence is cut into 2 `world` pieces, equal
    to within a token, and a rank gets one from the front and one from the back: pieces `rank` and
    `2 world - 1 - rank`.

    Parameters
    ----------
    counts : sequence or array of int
        new tokens of each sequence, of any length, 0 among them
    rank, world : int

    Returns
    -------
    Tensor of int64
        ascending: places among the sum(counts) packed tokens
    """
    places, begin = [torch.arange(0)], 0
    for count in as_counts("counts", counts):
        for piece in pieces(count, rank, world):
            places.append(torch.arange(begin + piece.start, begin + piece.stop))
        begin += count
    return torch.cat(places)


def pieces(count: int, rank: int, world: int) -> list[range]:
    """Positions of a rank's two pieces of a sequence; either may be empty."""
    edges = [count * i // (2 * world) for i in range(2 * world + 1)]
    return [range(*edges[i : i + 2]) for i in (rank, 2 * world - 1 - rank)]


def unzigzag(parts: Sequence[Tensor], counts: Counts) -> Tensor:
    """All tokens' rows in order, from those of each rank.

    Parameters
    ----------
    parts : sequence of Tensor [T of the rank, ...]
        by rank, in the order of `zigzag`
    counts : sequence or array of int
        new tokens of each sequence

    Returns
    -------
    Tensor [sum(counts), ...]
    """
    world = len(parts)
    places = torch.cat([zigzag(counts, rank, world) for rank in range(world)])
    rows = torch.cat(list(parts))
    if len(rows) != len(places):
        raise ValueError(f"parts: expected {len(places)} rows in all, as counts, got {len(rows)}")
    whole = torch.empty_like(rows)
    whole[places] = rows
    return whole

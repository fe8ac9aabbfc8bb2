"""New tokens that ranks compute by shares, and the ranks that their rows go to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tamis.distributed.group import Call


class Shares(NamedTuple):
    """Of a step's T tokens.

    Parameters
    ----------
    rank : int
        this one
    tokens : list of Tensor of int64
        by rank: places among the T of those that it computes, ascending
    owners : list of Tensor of int64
        by rank: which rank holds the rows of each of these
    """

    rank: int
    tokens: list[Tensor]
    owners: list[Tensor]

    @property
    def own(self) -> Tensor:
        """Places of this rank's tokens."""
        return self.tokens[self.rank]

    def row_sizes(self, row_bytes: int) -> tuple[list[int], list[int]]:
        """Bytes of rows for each rank, and from each."""
        to = [int((self.owners[self.rank] == rank).sum()) for rank in range(len(self.tokens))]
        of = [int((owners == self.rank).sum()) for owners in self.owners]
        return [rows * row_bytes for rows in to], [rows * row_bytes for rows in of]

    def put(
        self, call: Call, slots: Tensor, new: Sequence[Tensor], pools: Sequence[Tensor]
    ) -> None:
        """Rows of new tokens go to the pools of the ranks that hold them; of `row_sizes`.

        Parameters
        ----------
        call : Call
        slots : Tensor [T] of int64
            of all tokens in this rank's pools
        new : sequence of Tensor [own tokens, ...]
        pools : sequence of Tensor [pages, page_size, ...]
            of the same rows
        """
        widths = [pool[0, 0].numel() for pool in pools]
        whole = torch.cat([rows.flatten(1) for rows in new], 1)
        owners = self.owners[self.rank]
        messages = [whole[owners == rank] for rank in range(len(self.tokens))]
        sizes = self.row_sizes(sum(widths) * whole.element_size())[1]
        for tokens, owner, part in zip(
            self.tokens, self.owners, call.exchange(messages, sizes), strict=True
        ):
            held = slots[tokens[owner == self.rank]]
            rows = part.view(whole.dtype).view(len(held), sum(widths))
            for pool, of_pool in zip(pools, rows.split(widths, 1), strict=True):
                flat = pool.flatten(0, 1)
                flat[held] = of_pool.reshape(len(held), *flat.shape[1:])

    def gather(self, call: Call, mine: Tensor) -> Tensor:
        """Rows of all T tokens on all ranks, from those of each rank's own."""
        return gather_rows(call, self.tokens, mine)


def gather_rows(call: Call, tokens: Sequence[Tensor], mine: Tensor) -> Tensor:
    """Rows of all tokens on all ranks, in order, from those of each rank's own.

    Parameters
    ----------
    call : Call
    tokens : sequence of Tensor of int64
        by rank: places of its own among all
    mine : Tensor [own tokens, ...]
    """
    row = math.prod(mine.shape[1:])
    sizes = [len(part) * row * mine.element_size() for part in tokens]
    parts = [part.view(mine.dtype) for part in call.gather(mine, sizes)]
    whole = mine.new_empty(sum(map(len, tokens)), *mine.shape[1:])
    whole[torch.cat(list(tokens))] = torch.cat(parts).view(whole.shape)
    return whole

"""Whole sequences, packed, without a cache: how layers train."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from tamis.nn.counts import Counts, as_counts, counted
from tamis.nn.rope import Rope
from tamis.nn.step import Step


class Whole(NamedTuple):
    """Lengths of packed sequences.

    Parameters
    ----------
    counts : list of int
        tokens of each
    ends : list of int
        where each ends among all tokens
    """

    counts: list[int]
    ends: list[int]

    def windows(self, block: int, stride: int) -> list[int]:
        """Where the windows of each sequence end among all windows."""
        return list(accumulate(max(n - block + stride, 0) // stride for n in self.counts))

    def turn(self, rope: Rope) -> tuple[Tensor, Tensor]:
        """Sine and cosine of every token's position."""
        positions = torch.cat([torch.arange(0), *(torch.arange(n) for n in self.counts)])
        sin, cos = torch.ops.tamis_nn.turn(
            positions, rope.frequencies, rope.attention_factor, torch.float32
        )
        return sin, cos


def whole(counts: Counts | Step, **packed: Tensor) -> Whole:
    """The lengths of a call without a cache; `packed` has as many rows.

    Raises
    ------
    TypeError, ValueError
        They are no lengths of these rows.
    """
    if isinstance(counts, Step):
        raise ValueError(
            "counts: expected tokens of each sequence where there is no cache, got Step"
        )
    if torch.compiler.is_compiling() and isinstance(counts, (list, tuple)):
        found = list(counts)  # a graph may hold them as unknowns
    else:
        found = as_counts("counts", counts)
        counted(found, len(found), **packed)
    return Whole(found, list(accumulate(found)))


def refuse_gradients(layer: torch.nn.Module, *tensors: Tensor) -> None:
    """What a cache holds has no gradient.

    Raises
    ------
    NotImplementedError
        One is wanted, of these tensors or of the layer.
    """
    if torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (*tensors, *layer.parameters())
    ):
        raise NotImplementedError(
            "cache: expected none where a gradient is wanted (leave it out to train, or call under "
            "torch.no_grad()), got one"
        )

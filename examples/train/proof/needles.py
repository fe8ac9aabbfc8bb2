"""Real text in which needles are hidden and asked for again: only who looks back finds them.

A needle is a few tokens drawn at random. The first half of a sequence is text with needles in it,
the second is text with the same needles in another order. Of a needle's second occurrence the first
tokens are the cue; what follows can be predicted by looking at the first occurrence only, an eighth
of the sequence to all of it away. Without, the loss is that of guessing: the logarithm of the
vocabulary's size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LENGTH = 24  # tokens of a needle
CUE = 2  # of them are given
APART = 128  # a needle for as many tokens of a sequence


class Batch(NamedTuple):
    """Sequences, each with what is to be predicted.

    Parameters
    ----------
    ids : Tensor [B, T] of int64
        tokens
    targets : Tensor [B, T] of int64
        the token that follows each
    marked : Tensor [B, T] of bool
        where that token is a needle's, past its cue
    sources : Tensor [B, T] of int64
        where a marked target stands the first time, else 0
    """

    ids: Tensor
    targets: Tensor
    marked: Tensor
    sources: Tensor


class Needles:
    """Batches by number: the same number, the same batch, whatever was drawn before.

    Parameters
    ----------
    text : array of int64
        tokens, of which sequences are drawn
    vocabulary : int
        a needle's tokens are drawn below it
    seed : int
        of all batches
    """

    def __init__(self, text: NDArray[np.int64], vocabulary: int, seed: int) -> None:
        self._text, self._vocabulary, self._seed = text, vocabulary, seed

    def batch(self, number: int, sequences: int, length: int) -> Batch:
        """Batch `number`, of sequences of `length` tokens."""
        random = np.random.default_rng([self._seed, number, length])
        rows = [self._row(random, length) for _ in range(sequences)]
        row, source = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
        sources = source[:, 1:]
        return Batch(row[:, :-1], row[:, 1:], sources >= 0, sources.clamp(min=0))

    def _row(
        self, random: np.random.Generator, length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """One token more than a sequence, and where a needle's tokens stand first, else -1."""
        start = random.integers(len(self._text) - length)
        row = self._text[start : start + length + 1].copy()
        source = np.full(length + 1, -1)
        count = length // APART
        needles = random.integers(self._vocabulary, size=(count, LENGTH))
        first = self._places(random, count, 0, length // 2 - length // 8)
        again = self._places(random, count, length // 2, length // 2)
        for needle, here, there in zip(needles, first, random.permutation(again), strict=True):
            row[here : here + LENGTH] = needle
            row[there : there + LENGTH] = needle
            source[there + CUE : there + LENGTH] = np.arange(here + CUE, here + LENGTH)
        return row, source

    @staticmethod
    def _places(
        random: np.random.Generator, count: int, begin: int, room: int
    ) -> NDArray[np.int64]:
        """Where `count` needles begin, each in a part of its own of `room` tokens."""
        part = room // count
        return begin + part * np.arange(count) + random.integers(part - LENGTH + 1, size=count)

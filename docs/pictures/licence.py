"""What a model would compute from a text, made by a fixed rule from the licence of this tree.

Each word is a random vector of its own, rare words weigh more; the key of a token is the sum of
the words up to it, as is the query of a question. So a question about a phrase attracts the keys
of the phrase, and everything can be checked by reading.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

LICENCE = Path(__file__).resolve().parent.parent.parent / "LICENSE"


class Text:
    """The words of the licence, and vectors made of them.

    Parameters
    ----------
    dim : int
        Channels of a vector.
    seed : int
        Whose vectors: what collides with one seed does not with another.
    """

    def __init__(self, dim: int, seed: int = 0) -> None:
        self.words = re.findall(r"\w+|[^\w\s]", LICENCE.read_text(encoding="utf-8").lower())
        self._dim = dim
        self._seed = seed
        counts: dict[str, int] = {}
        for word in self.words:
            counts[word] = counts.get(word, 0) + 1
        self._weights = {
            word: float(np.log(1 + len(self.words) / count)) for word, count in counts.items()
        }

    def __len__(self) -> int:
        """Tokens."""
        return len(self.words)

    def vector(self, word: str) -> Floats:
        """+1 and -1 by the word, times its weight; words that the text lacks weigh nothing."""
        dice = np.random.default_rng((zlib.crc32(word.encode()), self._seed))
        signs = dice.integers(0, 2, self._dim) * 2 - 1
        return self._weights.get(word, 0.0) * signs.astype(np.float64)

    def keys(self, span: int) -> Floats:
        """[tokens, dim]: of every token, the sum of its own vector and of those before it."""
        own = np.array([self.vector(word) for word in self.words])
        total = np.cumsum(own, axis=0)
        total[span:] -= total[:-span].copy()
        return np.asarray(total / np.sqrt((total**2).sum(1).mean()))

    def query(self, question: str) -> Floats:
        """[dim]: the sum over the words of a question, of length 1."""
        total = np.sum([self.vector(word) for word in question.lower().split()], axis=0)
        return np.asarray(total / np.linalg.norm(total))

    def find(self, question: str) -> int:
        """Where the words of a question stand, one after the other."""
        words = question.lower().split()
        return next(at for at in range(len(self)) if self.words[at : at + len(words)] == words)


def heads_of(query: Floats, heads: int) -> Floats:
    """[heads, dim]: each head leaves out its own share of the channels; no two ask alike."""
    kept = np.ones((heads, query.size))
    for head in range(heads):
        kept[head, head::heads] = 0
    return np.asarray(query * kept * np.sqrt(heads / (heads - 1)))

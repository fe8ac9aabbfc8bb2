"""Tokens: frequent words with the space before them; what is no frequent word is spelt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r" ?(?:[A-Za-z]+|[0-9]|[^A-Za-z0-9\s])|\s")
_BLANKS = re.compile(r"[ \t]+")
_LINES = re.compile(r"\s*\n\s*")
_OTHER = "?"  # a letter that is none of ASCII


def words(text: str) -> list[str]:
    """A text in words, digits and signs, whose blanks are one space or one line's end each."""
    return _WORD.findall(_LINES.sub("\n", _BLANKS.sub(" ", text)))


class Vocabulary:
    """Numbers of words.

    Parameters
    ----------
    texts : iterable of str
        what is frequent here has a number of its own
    size : int
        of all numbers, letters among them
    """

    def __init__(self, texts: Iterable[str], size: int) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(words(text))
        letters = sorted({c for c in chain.from_iterable(counts) if c.isascii()} | {_OTHER})
        # Of equal counts the first in the alphabet: an order that does not depend on the texts'.
        longer = sorted((w for w in counts if len(w) > 1), key=lambda w: (-counts[w], w))
        self.names = (letters + longer)[:size]
        self._number = {name: i for i, name in enumerate(self.names)}

    def encode(self, text: str) -> NDArray[np.int64]:
        """The numbers of a text."""
        number, other = self._number, self._number[_OTHER]
        found: list[int] = []
        for word in words(text):
            if word in number:
                found.append(number[word])
            else:
                found.extend(number.get(letter, other) for letter in word)
        return np.array(found, np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of numbers."""
        return "".join(self.names[i] for i in ids)

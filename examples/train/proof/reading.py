"""Tokens to learn from, and tokens that are kept back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proof import corpus
from proof.needles import Needles
from proof.vocabulary import Vocabulary

_KEPT = 32  # every so many files is kept back


@dataclass(frozen=True)
class Reading:
    """The text of this machine in tokens.

    Parameters
    ----------
    vocabulary : Vocabulary
        made of the text to learn from
    text, kept : array of int64
        to learn from, and to be evaluated on
    files : int
        of both
    digest : str
        of all text: runs with the same one have read the same
    """

    vocabulary: Vocabulary
    text: NDArray[np.int64]
    kept: NDArray[np.int64]
    files: int
    digest: str

    def needles(self, seed: int) -> Needles:
        """Batches to learn from."""
        return Needles(self.text, len(self.vocabulary.names), seed)

    def kept_needles(self, seed: int) -> Needles:
        """Batches to be evaluated on."""
        return Needles(self.kept, len(self.vocabulary.names), seed)


def read(size: int, pages: list[str] | None = None) -> Reading:
    """Read the corpus, or `pages`, with a vocabulary of `size`."""
    pages = corpus.pages() if pages is None else pages
    kept = pages[_KEPT - 1 :: _KEPT]
    learned = [page for i, page in enumerate(pages) if i % _KEPT != _KEPT - 1]
    vocabulary = Vocabulary(learned, size)
    text, held = (np.concatenate([vocabulary.encode(p) for p in part]) for part in (learned, kept))
    digest = hashlib.sha256("\0".join(pages).encode()).hexdigest()[:16]
    return Reading(vocabulary, text, held, len(pages), digest)

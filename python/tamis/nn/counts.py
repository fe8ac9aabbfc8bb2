"""How many tokens each sequence has: a list, or an array of any library."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from tamis import _integers
from tamis._typing import Integers

Counts: TypeAlias = "Integers | Tensor"


def as_counts(name: str, values: Counts) -> list[int]:
    """Integers, whatever they come in.

    Raises
    ------
    TypeError
        It is no sequence and no array of one dimension, or holds something else.
    """
    try:
        return list(_integers.to_list(values))
    except (TypeError, OverflowError):
        shown = _integers.shown(values)
        raise TypeError(f"{name}: expected a sequence of integers, got {shown}") from None


def counted(counts: Counts, sequences: int, **packed: Tensor) -> list[int]:
    """One count per sequence; `packed` tensors have as many rows as all of them together.

    Raises
    ------
    TypeError, ValueError
        They are none.
    """
    found = as_counts("counts", counts)
    if len(found) != sequences or min(found, default=0) < 0:
        raise ValueError(f"counts: expected {sequences} numbers of at least 0, got {found}")
    for name, tensor in packed.items():
        if len(tensor) != sum(found):
            raise ValueError(f"{name}: expected {sum(found)} rows, as counts, got {len(tensor)}")
    return found

"""Lengths, positions, slots and counts: integers of any kind, and nothing that only looks so.

Booleans and floats are refused wherever integers are meant: a mask of two tokens is not the
lengths 1 and 0.
"""

from __future__ import annotations

import operator
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def is_masked(value: object) -> bool:
    """Whether part of an array is hidden, which its memory does not say."""
    return isinstance(value, np.ma.MaskedArray)


def is_tracer(value: object) -> bool:
    """Whether it stands for an array that JAX has yet to compute."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.core.Tracer)


def is_sequence(value: object) -> bool:
    """Whether its items may be integers: a list, a tuple, a range and their like."""
    return isinstance(value, Sequence) and not isinstance(
        value, (str, bytes, bytearray, memoryview)
    )


def to_list(value: Any) -> array[int]:
    """Integers of 64 bits from a sequence or an array of one dimension.

    Parameters
    ----------
    value : sequence or array
        Of any library.

    Returns
    -------
    array.array
        Of type "q".

    Raises
    ------
    TypeError
        It is none, or holds something else.
    OverflowError
        An integer does not fit.
    """
    if hasattr(value, "tolist") and not is_masked(value):
        value = value.tolist()
    if not is_sequence(value):
        raise TypeError
    if not set(map(type, value)) <= {int}:
        value = [_integer(item) for item in value]
    return array("q", value)


def to_numpy(name: str, value: Sequence[Any], dtypes: tuple[str, ...]) -> npt.NDArray[Any]:
    """Nested sequences as an array of int32, or of int64 where it may be and must.

    Parameters
    ----------
    name : str
        The argument, for complaints.
    value : sequence
        Of integers, of arrays, or of sequences of the same lengths.
    dtypes : tuple of str
        "int32", "int64" or both.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    TypeError
        Something in it is no integer, or it is ragged.
    ValueError
        An integer does not fit.
    """
    try:
        wide = np.array(_nested(value), np.int64)
    except OverflowError:
        raise ValueError(
            f"{name}: expected integers that fit {dtypes[-1]}, got {shown(value)}"
        ) from None
    except (TypeError, ValueError):
        raise TypeError(
            f"{name}: expected integers, nested sequences of them with equal lengths, or an array, "
            f"got {shown(value)}"
        ) from None
    return wide if "int64" in dtypes and not _fit_int32(wide) else narrowed(name, wide)


def narrowed(name: str, wide: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The same integers in 32 bits.

    Parameters
    ----------
    name : str
        The argument, for complaints.
    wide : numpy.ndarray
        Of int64.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        One does not fit; the message says which, and where it stands.
    """
    if not _fit_int32(wide):
        at = np.argwhere(wide != wide.astype(np.int32))[0]
        raise ValueError(
            f"{name}: expected integers that fit int32, got {wide[tuple(at)]} at {at.tolist()}"
        )
    return wide.astype(np.int32)


def _fit_int32(wide: npt.NDArray[np.int64]) -> bool:
    return not wide.size or bool(wide.min() >= -(2**31) and wide.max() < 2**31)


def shown(value: object) -> str:
    """What a complaint says of a value: one line, and no array's contents."""
    if is_tracer(value):
        return "a tracer of JAX (call the operator in jax.pure_callback)"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of {value.dtype}, shape {list(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _integer(item: Any) -> int:
    if hasattr(item, "dtype"):
        item = item.tolist() if item.ndim == 0 and not is_masked(item) else None
    if isinstance(item, bool):
        raise TypeError
    return operator.index(item)


def _nested(value: Any) -> Any:
    if hasattr(value, "dtype"):
        return _nested(value.tolist()) if value.ndim and not is_masked(value) else _integer(value)
    if not is_sequence(value):
        return _integer(value)
    if set(map(type, value)) <= {int}:
        return value
    return [_nested(item) for item in value]

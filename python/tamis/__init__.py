"""Sparse-attention operators: the NSA family and the DSA family, on any CPU.

Every operator is a function of numpy arrays (bfloat16 by ml_dtypes), torch or JAX tensors, and
whatever speaks `__array_interface__` or DLPack. Outputs come back from the library that the inputs
came from, or are written where keyword arguments of the outputs' names say.

    import numpy as np
    import tamis

    tokens = np.ones((64, 4, 32), np.float16)
    weight = np.ones((32, 4), np.float16)
    tamis.nsa_compress(tokens, weight, act_seq_len=[64], compress_block_size=32, compress_stride=16)

`tamis.case` reads and writes calls as files; `python -m tamis` is the command line. The
import compiles, downloads and writes nothing, and brings no torch; the first call loads libtamis.
"""

from __future__ import annotations

import json
from typing import Any

from tamis import _ops, case
from tamis._library import get_num_threads, library, set_num_threads
from tamis._ops import *  # noqa: F403
from tamis._plan import Plan, Shape, plan

__all__ = [
    "Plan",
    "Shape",
    "case",
    "describe",
    "get_num_threads",
    "operators",
    "plan",
    "set_num_threads",
    *_ops.__all__,
]


def operators() -> tuple[str, ...]:
    """Names of the operators of the loaded library.

    Returns
    -------
    tuple of str
        Each is a function of this module.
    """
    loaded = library()
    return tuple(
        loaded.tamis_operator_name(i).decode() for i in range(loaded.tamis_operator_count())
    )


def describe(operator: str) -> dict[str, Any]:
    """An operator's contract: arguments, dtypes, shapes, defaults, limits.

    Parameters
    ----------
    operator : str
        Its name.

    Returns
    -------
    dict
        What `tamis ops OPERATOR --json` prints.

    Raises
    ------
    ValueError
        There is no such operator.
    """
    text = library().tamis_describe(operator.encode())
    if text is None:
        raise ValueError(library().tamis_last_error().decode())
    found: dict[str, Any] = json.loads(text)
    return found


def __getattr__(name: str) -> str:
    if name == "__version__":
        version: str = library().tamis_version().decode()
        return version
    raise AttributeError(f"module 'tamis' has no attribute {name!r}")

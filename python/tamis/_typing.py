"""Types of the operators' signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy.typing as npt


class SupportsDLPack(Protocol):
    """A tensor of torch, JAX, or another library."""

    @property
    def __dlpack__(self) -> Callable[..., Any]:
        """Makes a capsule."""
        ...


# To the types, all arrays of a call are of one library, and so are its results. At run time they
# may be mixed: the first one's library makes the outputs, or numpy if it is not torch or JAX.
NumpyArray: TypeAlias = npt.NDArray[Any]
Array = TypeVar("Array", bound=SupportsDLPack)

Level = Literal["auto", "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16"]
Implementation = Literal["auto", "reference", "cpu"]

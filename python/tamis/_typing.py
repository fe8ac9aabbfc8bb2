"""Types of the operators' signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, Union

import numpy.typing as npt


class SupportsDLPack(Protocol):
    """A tensor of torch, JAX, or another library."""

    @property
    def __dlpack__(self) -> Callable[..., Any]:
        """Makes a capsule."""
        ...


# To the types, all arrays of a call but those of integers are of one library, and so are its
# results. At run time they may be mixed: the first one's library makes the outputs, or numpy if it
# is not torch or JAX.
NumpyArray: TypeAlias = npt.NDArray[Any]
Array = TypeVar("Array", bound=SupportsDLPack)

# Lengths, positions, slots: whatever their library.
Integers: TypeAlias = Sequence[int] | NumpyArray | SupportsDLPack
Nested: TypeAlias = Sequence[Union[int, "Nested"]]

Level = Literal["auto", "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16"]
Implementation = Literal["auto", "reference", "cpu"]

"""What the calls check themselves, and lines of complaint with the names that the caller knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor

UNBOUNDED = 2**63 - 1  # the only pre_tokens and next_tokens of the device

_T = TypeVar("_T")


def required(name: str, value: _T | None) -> _T:
    """An argument that the signature leaves open and the device needs."""
    if value is None:
        raise ValueError(f"{name}: required, but absent")
    return value


def expect(name: str, value: object, *allowed: object, why: str = "") -> None:
    """Refuses a value that no kernel takes."""
    if value not in allowed:
        listed = " or ".join(map(str, allowed))
        raise ValueError(f"{name}: expected {listed}{why and f' ({why})'}, got {value}")


def expect_absent(why: str, **tensors: Tensor | None) -> None:
    """Refuses tensors that no kernel reads."""
    for name, tensor in tensors.items():
        if tensor is not None:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"{name}: expected None ({why}), got {kind} {list(tensor.shape)}")


def run(names: Mapping[str, str], operator: Callable[..., Any], /, **arguments: Any) -> Any:
    """An operator's result; where it complains, `names` has the call's name for each of its own."""
    try:
        return operator(**arguments)
    except (ValueError, RuntimeError) as error:
        line = re.sub(
            r"^\w+|(?<=\bas )\w+", lambda found: names.get(found[0], found[0]), str(error)
        )
        raise type(error)(line) from None

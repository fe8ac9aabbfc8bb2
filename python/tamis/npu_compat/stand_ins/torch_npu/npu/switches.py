"""Switches that scripts set: kept, and without effect on results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

config = SimpleNamespace(allow_internal_format=False)
aclnn = SimpleNamespace(allow_hf32=False)
matmul = SimpleNamespace(allow_hf32=False, cube_math_type=0)
conv = SimpleNamespace(allow_hf32=False)

_options: dict[str, Any] = {}


def set_option(option: dict[str, Any]) -> None:
    """Keeps the options."""
    if not isinstance(option, dict):
        raise TypeError(f"option: expected a dict, got {option!r}")
    _options.update(option)


def set_compile_mode(jit_compile: bool = False) -> None:
    """Nothing: the kernels are compiled."""


def is_jit_compile_false() -> bool:
    """True."""
    return True

"""What this backend does not do, in one line."""

from __future__ import annotations

from typing import NoReturn


def refuse(argument: str, expected: str, got: str) -> NoReturn:
    """Raise ValueError."""
    raise ValueError(f"{argument}: expected {expected} with tamis.vllm, got {got}")

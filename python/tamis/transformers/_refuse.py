"""What this implementation does not do, in one line that names one that does."""

from __future__ import annotations

from typing import NoReturn


def refuse(argument: str, expected: str, got: str) -> NoReturn:
    """Raise ValueError."""
    raise ValueError(
        f'{argument}: expected {expected} with attn_implementation="tamis", got {got}; '
        'model.set_attn_implementation("sdpa") takes it, or "eager" where a family has no sdpa'
    )

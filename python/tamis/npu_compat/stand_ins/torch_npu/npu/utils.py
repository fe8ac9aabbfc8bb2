"""What scripts ask about the device's software."""

from __future__ import annotations


def get_cann_version(module: str = "CANN") -> str:
    """Empty, as without CANN: none is here."""
    return ""


def _is_gte_cann_version(version: str, module: str = "CANN") -> bool:
    """True: calls do here what they do with the newest version."""
    return True

"""Which device there is: this CPU, once, and only where a script was told so."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from tamis.npu_compat.options import options

from .memory import mem_get_info


@dataclass(frozen=True)
class _Properties:
    """What `get_device_properties` answers."""

    name: str
    total_memory: int  # bytes of this machine
    multi_processor_count: int  # processors that this process may use
    major: int = 0
    minor: int = 0


def is_available() -> bool:
    """As `tamis.npu_compat.enable(available=...)` says."""
    return options.available


def device_count() -> int:
    """1 where `is_available()`, else 0."""
    return int(options.available)


def _check(device: Any) -> None:
    """Refuses a device that is not the one there is."""
    if isinstance(device, str | torch.device):
        device = torch.device(device).index
    if isinstance(device, int) and device > 0:
        raise ValueError(f"device: expected npu:0, the only one, got npu:{device}")


def set_device(device: Any) -> None:
    """Nothing: all calls run on the CPU."""
    _check(device)


def current_device() -> int:
    """0."""
    return 0


def get_device_name(device: Any = None) -> str:
    """As `tamis.npu_compat.enable(device_name=...)` says."""
    _check(device)
    return options.device_name


def get_device_properties(device: Any = None) -> _Properties:
    """The name, and this machine's memory and processors."""
    _check(device)
    return _Properties(options.device_name, mem_get_info()[1], len(os.sched_getaffinity(0)))


def get_device_capability(device: Any = None) -> None:
    """None, as on the device: there are no compute capabilities."""
    _check(device)


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """False: there is one device."""
    return False


def init() -> None:
    """Nothing."""


def finalize_npu() -> None:
    """Nothing."""


def is_initialized() -> bool:
    """True."""
    return True


def is_bf16_supported() -> bool:
    """True."""
    return True


class device:  # noqa: N801  (the device's name)
    """A context in which another device is current: there is one."""

    def __init__(self, device: Any) -> None:
        _check(device)

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *_error: object) -> None:
        """Nothing."""


class device_of(device):  # noqa: N801  (the device's name)
    """A context in which the device of a tensor is current."""

    def __init__(self, obj: Any) -> None:
        super().__init__(None)

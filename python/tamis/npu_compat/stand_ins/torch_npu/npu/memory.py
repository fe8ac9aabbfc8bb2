"""Memory figures of this process and machine, in bytes."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def memory_allocated(device: Any = None) -> int:
    """Resident bytes of this process."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * _PAGE_BYTES


def memory_reserved(device: Any = None) -> int:
    """As `memory_allocated`: the CPU's allocator keeps nothing back."""
    return memory_allocated()


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes of this process that were resident at once, since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def max_memory_reserved(device: Any = None) -> int:
    """As `max_memory_allocated`."""
    return max_memory_allocated()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free bytes and all bytes of this machine."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024


def memory_stats(device: Any = None) -> dict[str, int]:
    """The figures above by the device's names."""
    return {
        "allocated_bytes.all.current": memory_allocated(),
        "allocated_bytes.all.peak": max_memory_allocated(),
        "reserved_bytes.all.current": memory_reserved(),
        "reserved_bytes.all.peak": max_memory_reserved(),
    }


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The figures of `memory_stats`, a line each."""
    return "\n".join(f"{name}: {value}" for name, value in memory_stats().items())


def empty_cache() -> None:
    """Nothing: the CPU's allocator keeps nothing back."""


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: the operating system keeps the peak of a process for good."""


def reset_max_memory_allocated(device: Any = None) -> None:
    """Nothing, as `reset_peak_memory_stats`."""


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Nothing: the operating system decides."""

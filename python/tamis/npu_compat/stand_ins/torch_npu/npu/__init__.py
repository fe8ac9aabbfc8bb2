"""`torch.npu` and `torch_npu.npu`: the device, which is this CPU.

Calls have finished when they return, so streams and events order nothing; events measure time.
Memory figures are those of this process and machine.
"""

from __future__ import annotations

from typing import NoReturn

from tamis.npu_compat.modules import absent

from . import amp as amp
from . import utils as utils
from .devices import (
    can_device_access_peer,
    current_device,
    device,
    device_count,
    device_of,
    finalize_npu,
    get_device_capability,
    get_device_name,
    get_device_properties,
    init,
    is_available,
    is_bf16_supported,
    is_initialized,
    set_device,
)
from .memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_max_memory_allocated,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)
from .seeds import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from .streams import (
    Event,
    Stream,
    current_stream,
    default_stream,
    set_stream,
    stream,
    synchronize,
)
from .switches import (
    aclnn,
    config,
    conv,
    is_jit_compile_false,
    matmul,
    set_compile_mode,
    set_option,
)

__all__ = [
    "Event",
    "Stream",
    "aclnn",
    "amp",
    "can_device_access_peer",
    "config",
    "conv",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "device_of",
    "empty_cache",
    "finalize_npu",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "is_jit_compile_false",
    "manual_seed",
    "manual_seed_all",
    "matmul",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_compile_mode",
    "set_device",
    "set_option",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
    "utils",
]


def _is_in_bad_fork() -> bool:
    """False: a forked process has the same CPU."""
    return False


def __getattr__(name: str) -> NoReturn:
    absent("torch_npu.npu", name)

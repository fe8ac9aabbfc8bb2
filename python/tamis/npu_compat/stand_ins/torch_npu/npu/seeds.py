"""Random numbers: the CPU's generator is the device's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def manual_seed(seed: int) -> None:
    """`torch.manual_seed` of the CPU's generator."""
    torch.default_generator.manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """As `manual_seed`."""
    manual_seed(seed)


def seed() -> None:
    """A seed that is not known before."""
    torch.default_generator.seed()


def seed_all() -> None:
    """As `seed`."""
    seed()


def initial_seed() -> int:
    """The last seed."""
    return int(torch.default_generator.initial_seed())


def get_rng_state(device: Any = "npu") -> Tensor:
    """The state of the CPU's generator."""
    return torch.default_generator.get_state()


def get_rng_state_all() -> list[Tensor]:
    """The state of each device's generator: one."""
    return [get_rng_state()]


def set_rng_state(new_state: Tensor, device: Any = "npu") -> None:
    """Puts the CPU's generator into a state."""
    torch.default_generator.set_state(new_state)


def set_rng_state_all(new_states: list[Tensor]) -> None:
    """As `set_rng_state`, of each device's generator."""
    for state in new_states:
        set_rng_state(state)

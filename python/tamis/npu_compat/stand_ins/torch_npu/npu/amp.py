"""Mixed precision: PyTorch's own of the CPU."""

from __future__ import annotations

from typing import Any

import torch


class autocast(torch.autocast):  # noqa: N801  (the device's name)
    """`torch.autocast` of the CPU; bfloat16 unless told otherwise."""

    def __init__(
        self, enabled: bool = True, dtype: torch.dtype = torch.bfloat16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(torch.amp.GradScaler):
    """`torch.amp.GradScaler` of the CPU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("dynamic", None)  # the device's, and True in PyTorch
        super().__init__("cpu", *args, **kwargs)

"""Stands in for the device's torch_npu: see `tamis.npu_compat`."""

from __future__ import annotations

from typing import NoReturn

import tamis
from tamis.npu_compat.formats import get_npu_format, npu_format_cast, npu_format_cast_
from tamis.npu_compat.modules import absent
from tamis.npu_compat.register import calls_of

from . import contrib as contrib
from . import npu as npu
from . import utils as utils

__version__ = f"{tamis.__version__}+tamis"
__all__ = ["contrib", "get_npu_format", "npu", "npu_format_cast", "npu_format_cast_", "utils"]

globals().update(calls_of("npu"))


def __getattr__(name: str) -> NoReturn:
    absent("torch_npu", name)

"""Finds the device's own software, without importing it."""

from __future__ import annotations

import importlib.util
import sys

import torch

from tamis.npu_compat.schemas import SCHEMAS, name_of


def is_importable(module: str) -> bool:
    """Whether an import of the module would find something."""
    return module in sys.modules or importlib.util.find_spec(module) is not None


def find_real() -> str | None:
    """The first thing of the device's software that is here, by its name."""
    if is_importable("torch_npu"):
        return "torch_npu"
    for namespace, schemas in SCHEMAS.items():
        for name in map(name_of, schemas):
            if hasattr(getattr(torch.ops, namespace), name):
                return f"torch.ops.{namespace}.{name}"
    return None

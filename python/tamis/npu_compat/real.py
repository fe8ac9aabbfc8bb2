"""Finds the device's own software, without importing it."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

from tamis.npu_compat.schemas import SCHEMAS, name_of


def is_importable(module: str) -> bool:
    """Whether an import of the module would find something."""
    return module in sys.modules or importlib.util.find_spec(module) is not None


def find_real() -> str | None:
    """The first thing of the device's software that is here, by its name."""
    if _is_real_torch_npu():
        return "torch_npu"
    for namespace, schemas in SCHEMAS.items():
        for name in map(name_of, schemas):
            if hasattr(getattr(torch.ops, namespace), name):
                return f"torch.ops.{namespace}.{name}"
    return None


def source_folders(package: str) -> list[str]:
    """Folders of a package that is importable: of one that cannot drive a device, its sources."""
    spec = importlib.util.find_spec(package)
    return list(spec.submodule_search_locations or []) if spec is not None else []


def _is_real_torch_npu() -> bool:
    """A module, or a package with its compiled part: folders of sources drive no device."""
    if "torch_npu" in sys.modules:
        return True
    spec = importlib.util.find_spec("torch_npu")
    if spec is None:
        return False
    if spec.submodule_search_locations is None:
        return True
    return any(
        (Path(folder) / f"_C{suffix}").exists()
        for folder in spec.submodule_search_locations
        for suffix in EXTENSION_SUFFIXES
    )

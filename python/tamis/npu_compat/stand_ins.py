"""Puts the calls where a script for the device looks for them, if nothing real is there."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor

from tamis.npu_compat import calls
from tamis.npu_compat.real import is_importable
from tamis.npu_compat.schemas import SCHEMAS, name_of, signature_of

# Modules that such a script imports, and the namespace of torch.ops whose calls they hold.
_MODULES = {
    "torch_npu": "npu",
    "custom": "custom",
    "custom_ops": "custom",
    "custom_pypto": "custom_pypto",
}

_Movable = TypeVar("_Movable")

_libraries: list[torch.library.Library] = []  # what is registered lives as long as these


def install() -> None:
    """Registers the operators, makes the modules, and gives tensors and modules `.npu()`."""
    modules = {name: _module(name) for name in _MODULES if not is_importable(name)}
    for namespace, schemas in SCHEMAS.items():
        library = torch.library.Library(namespace, "FRAGMENT")
        _libraries.append(library)
        for schema in schemas:
            library.define(schema)
            # Composite: compilers and exporters see the operators of Tamis inside.
            library.impl(name_of(schema), function_of(schema), "CompositeImplicitAutograd")
    for name, module in modules.items():
        for schema in SCHEMAS[_MODULES[name]]:
            setattr(module, name_of(schema), function_of(schema))
        sys.modules[name] = module
    device = _device_module()
    modules["torch_npu"].__dict__.update(npu=device, npu_format_cast=npu_format_cast)
    torch.npu = sys.modules["torch.npu"] = device
    Tensor.npu = torch.nn.Module.npu = _npu


def function_of(schema: str) -> Callable[..., Any]:
    """What a call does here: the function of its name, whose arguments are the schema's."""
    function: Callable[..., Any] = getattr(calls, name_of(schema))
    found = inspect.signature(function).parameters.values()
    plain = inspect.Signature([p.replace(annotation=p.empty) for p in found])
    if plain != signature_of(schema):
        raise TypeError(f"{name_of(schema)}: expected {signature_of(schema)}, got {plain}")
    return function


def _module(name: str) -> ModuleType:
    module = ModuleType(name, "Stands in for the device's module: see tamis.npu_compat.")
    module.__spec__ = ModuleSpec(name, None)  # importlib.util.find_spec needs one
    return module


def npu_format_cast(tensor: Tensor, acl_format: int) -> Tensor:
    """The tensor itself: every tensor here is row-major."""
    return tensor


def _npu(self: _Movable, *_args: object, **_kwargs: object) -> _Movable:
    """The tensor or module itself: it lies where the calls run."""
    return self


def _device_module() -> ModuleType:
    """torch.npu of a machine without a device: code that asks for one falls back to the CPU."""
    module = _module("torch.npu")

    def is_available() -> bool:
        """False: no tensor can be put on device "npu"."""
        return False

    def device_count() -> int:
        """0."""
        return 0

    def set_device(device: object) -> None:
        """Nothing: all calls run on the CPU."""

    def current_device() -> int:
        """0."""
        return 0

    def synchronize(device: object = None) -> None:
        """Nothing: a call's results are there when it returns."""

    for function in (is_available, device_count, set_device, current_device, synchronize):
        setattr(module, function.__name__, function)
    return module

"""Registers the device's calls with PyTorch: one operator for each line of `schemas.SCHEMAS`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch

from tamis.npu_compat import calls
from tamis.npu_compat.schemas import SCHEMAS, is_opaque, name_of, overload_of, signature_of

_libraries: list[torch.library.Library] = []  # what is registered lives as long as these


def register() -> None:
    """Adds the calls to `torch.ops.npu`, `torch.ops.custom` and `torch.ops.custom_pypto`."""
    for namespace, schemas in SCHEMAS.items():
        library = torch.library.Library(namespace, "FRAGMENT")
        _libraries.append(library)
        for schema in schemas:
            name, function = name_of(schema), function_of(namespace, schema)
            library.define(schema)
            if is_opaque(schema):
                # Opaque: whether a weight holds NZ bytes is known only when the call runs.
                library.impl(name, function, "CompositeExplicitAutograd")
                torch.library.register_fake(f"{namespace}::{name}", function, lib=library)
            else:
                # Composite: compilers and exporters see the operators of Tamis inside.
                library.impl(overload_of(schema), function, "CompositeImplicitAutograd")


def calls_of(namespace: str) -> dict[str, Callable[..., Any]]:
    """The calls of a namespace, as the module of that name holds them."""
    return {
        name_of(schema): _through_torch(namespace, schema)
        if is_opaque(schema)
        else function_of(namespace, schema)
        for schema in SCHEMAS[namespace]
    }


def _through_torch(namespace: str, schema: str) -> Callable[..., Any]:
    """A function that calls the registered operator, which compilers do not look into."""
    operator = getattr(getattr(torch.ops, namespace), name_of(schema))

    @functools.wraps(function_of(namespace, schema))
    def call(*args: Any, **kwargs: Any) -> Any:
        return operator(*args, **kwargs)

    return call


def function_of(namespace: str, schema: str) -> Callable[..., Any]:
    """What a call does here: the function of its name, whose arguments are the schema's."""
    function = calls.call(namespace, name_of(schema))
    found = inspect.signature(function).parameters.values()
    plain = inspect.Signature([p.replace(annotation=p.empty) for p in found])
    if plain != signature_of(schema):
        raise TypeError(f"{name_of(schema)}: expected {signature_of(schema)}, got {plain}")
    return function

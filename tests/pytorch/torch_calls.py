"""Calls for the tests of torch.ops.tamis: how they are made, and what they give."""

from __future__ import annotations

from typing import Any

import torch
from python_calls import to_library
from torch.utils._python_dispatch import TorchDispatchMode

import tamis
import tamis.torch
from tamis.case import Case


def overload(op: str) -> Any:
    return getattr(torch.ops.tamis, op).default


def arguments(case: Case) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A case's arguments: tensors that must be there by position, the others by keyword."""
    given = to_torch(case)
    fields = overload(case.op)._schema.arguments
    required = [f.name for f in fields if not f.kwarg_only and not f.has_default_value()]
    return tuple(given.pop(name) for name in required), given | case.attributes


def by_position(case: Case) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A case's arguments: all tensors by position, None for one that is absent."""
    given = to_torch(case)
    tensors = [f.name for f in overload(case.op)._schema.arguments if not f.kwarg_only]
    assert given.keys() <= set(tensors), case.op
    return tuple(given.get(name) for name in tensors), dict(case.attributes)


def to_torch(case: Case) -> dict[str, torch.Tensor]:
    """A case's tensors as torch's."""
    return {
        name: t if isinstance(t, torch.Tensor) else to_library("torch", t)
        for name, t in case.tensors.items()
    }


class Spy(TorchDispatchMode):
    """The calls of one operator of Tamis meanwhile: their attributes."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op = op
        self.calls: list[dict[str, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Notes the call, and makes it."""
        if func is overload(self.op):
            self.calls.append(dict(kwargs or {}))
        return func(*args, **(kwargs or {}))


class Accuracies(TorchDispatchMode):
    """Which `accuracy` the operators of Tamis are given meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Notes what is asked for, and runs the operator."""
        if any(argument.name == "accuracy" for argument in func._schema.arguments):
            self.found.append((kwargs or {}).get("accuracy", "storage"))  # defaults are left out
        return func(*args, **(kwargs or {}))


def accuracies_of(call: Any, arguments: dict[str, Any]) -> list[str]:
    """With which `accuracy` the operator inside a call is called."""
    mode = Accuracies()
    with mode:
        call(**arguments)
    return mode.found


def optional_tensors(op: str) -> set[str]:
    """Tensors that a call of the operator may leave out."""
    roles = ("optional_input", "optional_inout")
    return {a["name"] for a in tamis.describe(op)["arguments"] if a["role"] in roles}


def has_results(op: str) -> bool:
    """Whether the operator gives anything beside the tensors that it updates in place."""
    return bool(overload(op)._schema.returns)


def results(op: str, returned: Any) -> dict[str, torch.Tensor]:
    """What an operator returned, by the names of its schema."""
    values = returned if isinstance(returned, tuple) else () if returned is None else (returned,)
    names = [field.name for field in overload(op)._schema.returns]
    return dict(zip(names, values, strict=True))

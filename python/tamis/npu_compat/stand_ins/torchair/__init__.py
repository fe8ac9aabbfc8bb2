"""Stands in for the device's graph mode: its backends run graphs on this CPU.

`tamis.npu_compat.enable(graph_backend=...)` chooses between eager and inductor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NoReturn

import torch

import tamis
from tamis.npu_compat.formats import Graphs
from tamis.npu_compat.modules import absent
from tamis.npu_compat.options import options
from tamis.npu_compat.schemas import READ_WEIGHTS

from . import configs as configs
from .configs.compiler_config import CompilerConfig

__version__ = f"{tamis.__version__}+tamis"
__all__ = ["CompilerConfig", "get_compiler", "get_npu_backend", "logger"]

logger = logging.getLogger("torchair")


def get_npu_backend(
    *, compiler_config: CompilerConfig | None = None, custom_decompositions: Any = None
) -> Callable[..., Any]:
    """A backend for `torch.compile`.

    Settings of the compiler and decompositions are about the device, and have no effect.
    """
    Graphs.read_marks = True
    return _run


def get_compiler(compiler_config: CompilerConfig | None = None) -> Callable[..., Any]:
    """As `get_npu_backend`."""
    return get_npu_backend(compiler_config=compiler_config)


def _run(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
    _check_weights(graph)
    if options.graph_backend == "inductor":
        from torch._inductor.compile_fx import compile_fx

        compiled: Callable[..., Any] = compile_fx(graph, inputs)
        return compiled
    forward: Callable[..., Any] = graph.forward
    return forward


def _check_weights(graph: torch.fx.GraphModule) -> None:
    """Weights that a graph computes have lost what `npu_format_cast` says of them."""
    if options.weight_format != "tagged":
        return
    for node in graph.graph.nodes:
        name = str(node.target).partition(".")[2].partition(".")[0]
        if node.op != "call_function" or name not in READ_WEIGHTS:
            continue
        arguments = {**dict(zip(_names(node.target), node.args, strict=False)), **node.kwargs}
        for argument, value in arguments.items():
            computed = isinstance(value, torch.fx.Node) and value.op.startswith("call")
            if argument in READ_WEIGHTS[name] and computed:
                raise RuntimeError(
                    f"{argument}: expected an input of the graph, got a result of {value.target}; "
                    "call tamis.npu_compat.enable(weight_format='ND') or 'NZ' before compiling"
                )


def _names(target: Any) -> list[str]:
    overload = target.default if hasattr(target, "default") else target
    return [argument.name for argument in overload._schema.arguments]


def __getattr__(name: str) -> NoReturn:
    absent("torchair", name)

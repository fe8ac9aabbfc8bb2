"""PyTorch's operators: `torch.ops.tamis.*`, for tensors of the CPU.

    import torch
    import tamis.torch

    tokens = torch.ones(64, 4, 32, dtype=torch.bfloat16)
    weight = torch.ones(32, 4, dtype=torch.bfloat16)
    torch.ops.tamis.nsa_compress(
        tokens, weight, act_seq_len=[64], compress_block_size=32, compress_stride=16
    )

Arguments are those of `tamis.<operator>`, without outputs and without how to run: kernels use
PyTorch's own threads (`torch.set_num_threads`) and the level that `TAMIS_LEVEL` names or this
processor has. Results come back in the order of the contract; an output that was not asked for is
an empty tensor. Tensors that the call updates are annotated so, and not returned. The overload
`out` writes outputs that are given by keyword, and returns nothing:
`torch.ops.tamis.nsa_compress.out(tokens, weight, ..., output=windows)`.

Plans are kept and run again: see `plan_counts`.

The operators trace: `torch.compile(fullgraph=True)` and `torch.export` with dynamic shapes work.
There is no backward yet: tensors that require grad are refused unless gradients are off.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

try:
    import torch
except ModuleNotFoundError as error:
    message = (
        "tamis.torch: needs torch 2.10 or later, which is not installed here: pip install torch"
    )
    raise ModuleNotFoundError(message, name=error.name) from error

from tamis import _library, operators
from tamis.torch import _fake

__all__ = ["PlanCounts", "plan_counts"]

# `pip install .` leaves the operators out where it finds no torch.
REMEDY = (
    "install tamis again from its source where torch 2.10 or later is installed, "
    "build it with `./dev test --torch`"
)


class PlanCounts(NamedTuple):
    """How calls came by their plans."""

    made: int
    renewed: int
    reused: int
    kernel_seconds: float


def plan_counts() -> PlanCounts:
    """How the calling thread's calls of `torch.ops.tamis` came by their plans so far.

    A call is planned where its shapes, dtypes and attributes are new, a plan is renewed where only
    lengths, page tables or cache slots differ, and reused where none does: once per operator and
    step of a model whose layers are alike. A thread keeps four plans of each operator.

    Returns
    -------
    PlanCounts
        Numbers of calls, and how long their kernels ran.
    """
    counts = (ctypes.c_int64 * 4)()
    _loaded.tamis_torch_plan_counts(counts)
    made, renewed, reused, nanoseconds = counts
    return PlanCounts(made, renewed, reused, nanoseconds * 1e-9)


def _load() -> ctypes.CDLL:
    """Register the operators with PyTorch, once."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 10):
        raise ImportError(f"tamis.torch: expected torch 2.10 or later, got {torch.__version__}")
    _library.library()  # what libtamis_torch.so is linked with, found as ever
    packaged = _library.HERE / "lib" / "libtamis_torch.so"
    built = "pytorch/libtamis_torch.so"
    path = _library.find(packaged, "TAMIS_TORCH_LIBRARY", built, REMEDY)
    torch.ops.load_library(str(path))
    for operator in operators():
        _fake.register(operator)
    return ctypes.CDLL(str(path))


_loaded = _load()

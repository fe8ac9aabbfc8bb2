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

Plans are kept and run again: see `plan_counts`. Where a loop over layers should not look for them
either, `plan` makes one for it.

The operators trace: `torch.compile(fullgraph=True)` and `torch.export` with dynamic shapes work.
An operator that has a gradient operator, as `sliding_window_attention` has
`sliding_window_attention_grad`, has a backward: it saves what that takes, computes the gradients
that are wanted, and refuses by name what has no gradient. All others, the overload `out` and plans
refuse tensors that require grad unless gradients are off.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from tamis.torch._loaded import loaded
from tamis.torch._plan import Plan, plan

__all__ = ["Plan", "PlanCounts", "plan", "plan_counts"]


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
    loaded.tamis_torch_plan_counts(counts)
    made, renewed, reused, nanoseconds = counts
    return PlanCounts(made, renewed, reused, nanoseconds * 1e-9)

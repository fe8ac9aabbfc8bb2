"""What tests of backwards share: calls whose tensors require grad, and their gradients."""

from __future__ import annotations

from typing import Any

import torch
from attention_formulas import Call
from torch import Tensor
from torch_calls import overload


def outputs(tensors: dict[str, Tensor], call: Call) -> tuple[Tensor, ...]:
    found = overload(call.op)(**tensors, **call.arguments())
    return found if isinstance(found, tuple) else (found,)


def inputs(call: Call, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Tensors that require grad."""
    made = call.random(dtype)
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


def gradients(tensors: dict[str, Tensor], call: Call, grad: Tensor) -> dict[str, Tensor]:
    out = outputs(tensors, call)[0]
    found = torch.autograd.grad(out, list(tensors.values()), grad.to(out.dtype))
    return dict(zip(tensors, found, strict=True))


def squares(call: Call) -> Any:
    """A loss of the operator, of plain tensors."""
    names = list(call.random(torch.float32))

    def loss(*tensors: Tensor) -> Tensor:
        out = outputs(dict(zip(names, tensors, strict=True)), call)[0]
        total: Tensor = out.float().square().sum()
        return total

    return loss

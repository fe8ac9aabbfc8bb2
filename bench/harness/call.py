"""A call of a peer: what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Tensors = dict[str, Tensor]
Attributes = dict[str, Any]
Outputs = tuple[Tensor, ...]


@dataclass
class Call:
    """Tensors and attributes; products are computed in a dtype that may be wider than theirs."""

    tensors: Tensors
    attributes: Attributes
    products: torch.dtype

    def __getitem__(self, name: str) -> Tensor:
        """A tensor by its name."""
        return self.tensors[name]

    def wide(self, tensor: Tensor) -> Tensor:
        """As a factor of a product."""
        return tensor.to(self.products)


def batch_of_one(t: Tensors) -> Tensors:
    """[1, heads, tokens, dim], values as wide as keys: the fast kernel wants them so."""
    value = functional.pad(t["value"], (0, t["key"].shape[-1] - t["value"].shape[-1]))
    by_head = {"key": t["key"], "value": value}
    made = {n: x.transpose(0, 1).contiguous()[None] for n, x in by_head.items()}
    return made | {"narrow": t["value"][:1]}

"""Native Sparse Attention, from scratch or out of a dense model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from proof.attention import (
    BEFORE,
    Attention,
    begin_alike,
    linear,
    rotate_half,
    with_those_before,
)
from proof.kernels import Kernels, Sizes

# What gates start at, before the sigmoid: compressed, selected, window. The selected branch speaks
# first: where all begin alike, training finds nothing. In a converted model it speaks nearly alone,
# so that what it says is close to what the dense model said.
FROM_SCRATCH = (0.0, 2.0, -1.0)
CONVERTED = (0.0, 4.0, -2.0)
_BRANCHES = 3


class NativeAttention(Attention):
    """Attention to compressed keys, to blocks that those select, and to a window; gates weigh them.

    As `tamis.nn.NativeSparseAttention`, written out on kernels that can be exchanged.

    Parameters
    ----------
    kernels : Kernels
        what computes it
    width, heads, kv_heads, dim : int
        of hidden states; N, N2, D
    window : int
        keys that the window branch sees
    sizes : Sizes
        of the other two branches
    """

    def __init__(
        self,
        kernels: Kernels,
        *,
        width: int,
        heads: int,
        kv_heads: int,
        dim: int,
        window: int,
        sizes: Sizes,
    ) -> None:
        super().__init__(kernels)
        self.heads, self.kv_heads, self.window, self.sizes = heads, kv_heads, window, sizes
        self.q_proj = linear((1 + BEFORE) * width, heads * dim)
        self.k_proj = linear((1 + BEFORE) * width, _BRANCHES * kv_heads * dim)
        self.v_proj = linear((1 + BEFORE) * width, _BRANCHES * kv_heads * dim)
        self.o_proj = linear(heads * dim, width)
        begin_alike(self.q_proj, self.k_proj, heads, kv_heads)
        self.gate = nn.Linear(width, heads * _BRANCHES)
        nn.init.normal_(self.gate.weight, std=0.1 * width**-0.5)
        self.open_gates(FROM_SCRATCH)
        mean = torch.full((sizes.window, kv_heads), 1 / sizes.window)
        self.key_weight, self.value_weight = nn.Parameter(mean), nn.Parameter(mean.clone())

    def open_gates(self, gates: tuple[float, float, float]) -> None:
        """Set what the gates begin with, for every head alike."""
        with torch.no_grad():
            self.gate.bias.view(self.heads, _BRANCHES).copy_(torch.tensor(gates))

    def forward(self, x: Tensor) -> Tensor:
        """Attention of [B, T, width]."""
        seen = with_those_before(x)
        query = self.q_proj(seen).unflatten(-1, (self.heads, -1))
        keys = self.k_proj(seen).unflatten(-1, (_BRANCHES, self.kv_heads, -1)).unbind(2)
        values = self.v_proj(seen).unflatten(-1, (_BRANCHES, self.kv_heads, -1)).unbind(2)
        weights = self.key_weight, self.value_weight
        # Sums over tokens have no position: neither they nor the queries that meet them turn.
        compressed, self.blocks = self.kernels.compressed(
            query, keys[0], values[0], weights, self.sizes
        )
        query = rotate_half(query)
        selected = self.kernels.selected(
            query, rotate_half(keys[1]), values[1], self.blocks, self.sizes.block
        )
        near = self.kernels.near(query, rotate_half(keys[2]), values[2], self.window)
        gates = torch.sigmoid(self.gate(x)).unflatten(-1, (self.heads, _BRANCHES, 1))
        mixed = (torch.stack((compressed, selected, near), -2) * gates).sum(-2)
        out: Tensor = self.o_proj(mixed.flatten(2))
        return out


def from_dense(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense attention's weights, for all branches alike; what dense attention lacks is left out."""
    each = {"k_proj.weight", "v_proj.weight"}
    return {
        name: value.repeat(_BRANCHES, 1) if name.rsplit("attention.")[-1] in each else value
        for name, value in state.items()
    }

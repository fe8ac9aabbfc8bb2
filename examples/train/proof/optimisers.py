"""Muon for the matrices of layers, AdamW for the rest.

Small models sit on plateaus before they learn to look back; Muon passes them sooner than AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from proof.muon import Muon
from proof.plan import Rates

_WARM = 20  # steps to the highest rate
_COLD = 0.6  # of all steps: from there it falls, to a twentieth


class Optimisers:
    """Two optimisers that step together.

    Parameters
    ----------
    model : nn.Module
        its two-dimensional weights in `layers` get Muon, but for those of gates and windows
    trained : iterable of nn.Parameter
        all others stay as they are
    rates : Rates
        the highest
    """

    def __init__(self, model: nn.Module, trained: Iterable[nn.Parameter], rates: Rates) -> None:
        wanted = {id(parameter) for parameter in trained}
        named = [(n, p) for n, p in model.named_parameters() if id(p) in wanted]
        # Under their names: states are saved and read by them.
        matrices = [(n, p) for n, p in named if _is_matrix(n)]
        rest = [(n, p) for n, p in named if not _is_matrix(n)]
        self.parts: dict[str, torch.optim.Optimizer] = {}
        if matrices:
            self.parts["muon"] = Muon(matrices, lr=rates.muon)
        if rest:
            self.parts["adam"] = torch.optim.AdamW(
                rest, lr=rates.adam, betas=(0.9, 0.95), weight_decay=0.0
            )
        self._highest = {name: getattr(rates, name) for name in self.parts}

    def step(self, share: float, number: int) -> None:
        """One step, `number` from 0, after `share` of them all; gradients are gone after it."""
        factor = min(1.0, (number + 1) / _WARM, 0.05 + (1 - share) / (1 - _COLD))
        for name, part in self.parts.items():
            for group in part.param_groups:
                group["lr"] = self._highest[name] * factor
            part.step()
            part.zero_grad()


def _is_matrix(name: str) -> bool:
    return name.startswith("layers.") and name.endswith(
        ("_proj.weight", "up.weight", "down.weight")
    )

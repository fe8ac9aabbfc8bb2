"""The kinds of attention that a run compares, and how each begins from dense weights.

Another kind is a class of its own beside those of attention, and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from proof.attention import Attention, PlainAttention
from proof.kernels import Kernels
from proof.latent import LatentAttention
from proof.model import Model
from proof.native import CONVERTED, NativeAttention, from_dense
from proof.plan import Plan


def _dense(plan: Plan, kernels: Kernels) -> Attention:
    return PlainAttention(kernels, **_sizes(plan))


def _window(plan: Plan, kernels: Kernels) -> Attention:
    return PlainAttention(kernels, **_sizes(plan), window=plan.window)


def _native(plan: Plan, kernels: Kernels) -> Attention:
    return NativeAttention(kernels, **_sizes(plan), window=plan.window, sizes=plan.sizes)


def _latent(plan: Plan, kernels: Kernels) -> Attention:
    return LatentAttention(kernels, width=plan.width, heads=plan.heads, sizes=plan.latent)


def _sizes(plan: Plan) -> dict[str, int]:
    return {name: getattr(plan, name) for name in ("width", "heads", "kv_heads", "dim")}


KINDS: Mapping[str, Callable[[Plan, Kernels], Attention]] = {
    "dense": _dense,
    "window": _window,
    "nsa": _native,
    "dsa": _latent,
}


def new_model(plan: Plan, kind: str, kernels: Kernels) -> Model:
    """A model of random weights, the same ones each time."""
    torch.manual_seed(plan.seed)
    make = KINDS[kind]
    return Model(plan.vocabulary, plan.width, plan.layers, lambda: make(plan, kernels))


def convert(plan: Plan, kind: str, kernels: Kernels, dense: Mapping[str, Tensor]) -> Model:
    """A model that begins with dense attention's weights.

    A branch that dense attention lacks gets a copy of its keys and values; windows begin as means.
    """
    model = new_model(plan, kind, kernels)
    if kind != "nsa":
        model.load_state_dict(dict(dense))
        return model
    left = model.load_state_dict(from_dense(dense), strict=False)
    assert not left.unexpected_keys
    for attention in model.attentions():
        assert isinstance(attention, NativeAttention)
        attention.open_gates(CONVERTED)
    return model

"""Ranks that share the heads of a DeepSeek layer, beside those that share its keys."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import Parameter

from tamis.distributed.group import Call, ContextGroup
from tamis.nn.deepseek import DeepSeekSparseAttention


def split_heads(layer: DeepSeekSparseAttention, rank: int, world: int) -> DeepSeekSparseAttention:
    """The part of a layer that one of `world` ranks computes.

    It has its share of the heads, and of the columns of `w_o`: so no sum goes over ranks, and
    nothing is rounded that one rank does not round. The indexer is whole.

    Parameters
    ----------
    layer : DeepSeekSparseAttention
        whole; not changed
    rank, world : int
        of the ranks that share the heads

    Returns
    -------
    DeepSeekSparseAttention
        for `DealtSparseAttention`, with a copy of its weights

    Raises
    ------
    ValueError
        Heads or hidden channels are no multiple of `world`.
    """
    heads, hidden = layer.w_uk.shape[0], layer.w_o.shape[1]
    for name, size in (("heads", heads), ("hidden", hidden)):
        if size % world:
            raise ValueError(f"{name}: expected a multiple of {world} ranks, got {size}")
    own = slice(rank * heads // world, (rank + 1) * heads // world)
    columns = slice(rank * hidden // world, (rank + 1) * hidden // world)
    part = copy.copy(layer)
    part._parameters = dict(layer._parameters)

    def take(name: str, tensor: Tensor) -> None:
        part.register_parameter(name, Parameter(tensor.contiguous().clone(), requires_grad=False))

    for name in ("w_uk", "w_uv", "sinks"):
        if (whole := getattr(layer, name)) is not None:
            take(name, whole[own])
    for name in ("w_uq_qr", "w_gate", "query_scale"):
        if (whole := getattr(layer, name)) is not None:
            take(name, whole.unflatten(1, (heads, -1))[:, own].flatten(1))
    take("w_o", layer.w_o[:, columns])
    if layer.bias_o is not None:
        take("bias_o", layer.bias_o[columns])
    return part


def tensor_call(group: ContextGroup, layer: DeepSeekSparseAttention, tokens: int) -> Call:
    """A call whose first message is what heads give."""
    heads, _, dim = layer.w_uv.shape
    return group.alike(tokens * heads * dim * layer.w_uv.element_size())


def tensor_output(
    group: ContextGroup, call: Call, layer: DeepSeekSparseAttention, values: Tensor
) -> Tensor:
    """Hidden states [T, H], of what this rank's heads give: [T, own heads, Dv]."""
    every = [part.view(values.dtype).view(values.shape) for part in call.gather(values)]
    columns = layer.output(torch.cat(every, 1))
    every = [part.view(columns.dtype).view(columns.shape) for part in call.gather(columns)]
    return torch.cat(every, 1)

"""Sums over ranks, in their order: the same bits on every rank, every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from tamis.distributed.group import Call, ContextGroup

# Elements that travel together.
_BUCKET = 1 << 20


def sum_gradients(parameters: Iterable[Tensor], group: ContextGroup) -> None:
    """Every gradient becomes the sum of all ranks': a collective, after `backward`.

    Gradients are added in float32, rank by rank in their order, and rounded once; each rank adds a
    share and all get it, so that all have the same bits. Then the ranks' optimisers do the same.

    Parameters
    ----------
    parameters : iterable of Tensor
        the same on all ranks; those whose `grad` is None on all of them are left alone
    group : ContextGroup

    Raises
    ------
    RemoteError, RankLost
        As `Call`; or ranks have gradients of other parameters, shapes or dtypes.
    """
    with group.alike(0) as call:
        known = list(parameters)
        call.agree(
            [None if p.grad is None else (p.grad.dtype, list(p.grad.shape)) for p in known],
            "gradients",
        )
        learning = [p for p in known if p.grad is not None]
        for parameter in learning:
            parameter.grad = parameter.grad.contiguous()
        for bucket in _buckets([p.grad.view(-1) for p in learning]):
            whole = torch.cat([part.float() for part in bucket])
            edges = [len(whole) * rank // group.world for rank in range(group.world + 1)]
            own = sum_in_order(group, call, [whole[a:b] for a, b in pairwise(edges)])
            sizes = [(b - a) * own.element_size() for a, b in pairwise(edges)]
            summed = torch.cat([part.view(own.dtype) for part in call.gather(own, sizes)])
            for part, new in zip(bucket, summed.split([len(p) for p in bucket]), strict=True):
                part.copy_(new)


def sum_in_order(group: ContextGroup, call: Call, parts: Sequence[Tensor]) -> Tensor:
    """The sum of what all ranks have for this one.

    Parameters
    ----------
    group, call
        of all ranks
    parts : sequence of Tensor of float32
        by destination; what is for a rank has one shape on all ranks
    """
    own = parts[group.rank]
    first, *others = [
        part.view(own.dtype).view(own.shape)
        for part in call.exchange(parts, [own.nbytes] * group.world)
    ]
    total = first.clone()
    for part in others:
        total += part
    return total


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Views of flat gradients, together as long as a bucket, but for the last."""
    bucket: list[Tensor] = []
    room = _BUCKET
    for gradient in gradients:
        while len(gradient):
            bucket.append(gradient[:room])
            gradient, room = gradient[room:], room - len(bucket[-1])
            if not room:
                yield bucket
                bucket, room = [], _BUCKET
    if bucket:
        yield bucket

"""Errors against the float64 reference, and whether two ways compute the same thing."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harness.ours import Outputs, reference_call
from harness.shapes import Pool, Shape

FAR_APART = 0.03  # of two results' norm: bfloat16 differs by less, another formula by more
SHARED = 0.9  # of two selections: rounding swaps those that are close

Error = Callable[[Outputs], float]


def error_of(shape: Shape, pool: Pool) -> Error:
    """What `max_error` is: computes the reference once, for results on set 0.

    The largest difference of the first output; where it is a selection of keys, how far the worst
    key's score lies below the worst of the reference's.
    """
    probe = shape.probe(pool)
    if shape.operator == "lightning_indexer":
        return _shortfall(pool)
    expected = reference_call(shape.operator, probe.tensors, probe.attributes)[0].double()

    def error(outputs: Outputs) -> float:
        found = outputs[0]
        if probe.rows is not None:
            found = found.index_select(probe.dim, probe.rows)
        return float((found.double() - expected).abs().max())

    return error


def _shortfall(pool: Pool) -> Error:
    """Scores of all keys by the reference: a selection of everything, with values."""
    tensors = pool.sets[0]
    keys, count = tensors["key"].shape[1], pool.attributes["sparse_count"]
    everything = {"sparse_count": keys, "return_value": True, "value_dtype": "float32"}
    order, values = reference_call("lightning_indexer", tensors, pool.attributes | everything)
    scores = torch.empty(keys, dtype=torch.float64)
    scores[order.flatten().long()] = values.flatten().double()
    threshold = values.flatten()[count - 1].double()

    def error(outputs: Outputs) -> float:
        return max(0.0, float(threshold - scores[outputs[0].flatten().long()].min()))

    return error


def disagreement(ours: Outputs, theirs: Outputs, far_apart: float = FAR_APART) -> str | None:
    """What is not the same in two results, in their common outputs; None if nothing."""
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one.numel() == 0 or other.numel() == 0:  # not asked for
            continue
        if one.shape != other.shape:
            return f"output {number}: shapes {list(one.shape)} and {list(other.shape)}"
        if one.is_floating_point():
            apart = distance(one, other)
            if not apart <= far_apart:
                return f"output {number}: {apart:.3f} of the norm apart"
        else:
            shared = shared_part(one, other)
            if not shared >= SHARED:
                return f"output {number}: {shared:.3f} of the selection shared"
    return None


def distance(one: Tensor, other: Tensor) -> float:
    """The difference's norm over one's; by parts, as float64 copies of the largest take 4 GB."""
    parts = zip(one.flatten().split(1 << 22), other.flatten().split(1 << 22), strict=True)
    squares = [
        (float(a.double().square().sum()), float((a.double() - b.double()).square().sum()))
        for a, b in parts
    ]
    return math.sqrt(sum(square[1] for square in squares) / sum(square[0] for square in squares))


def shared_part(one: Tensor, other: Tensor) -> float:
    """How much of one's lists is in the other's; lists along the last dimension, -1 ends them."""
    ours, theirs = one.flatten(0, -2), other.flatten(0, -2)
    at = torch.linspace(0, len(ours) - 1, min(len(ours), 256)).long()
    lists = zip(ours[at].tolist(), theirs[at].tolist(), strict=True)
    both = [(set(one) - {-1}, set(other)) for one, other in lists]
    return sum(len(a & b) for a, b in both) / max(1, sum(len(a) for a, _ in both))

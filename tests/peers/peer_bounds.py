"""How far two ways may be apart: bounds from types and sizes, never loose numbers."""

from __future__ import annotations

import torch
from formulation import Floats
from precision import FP32, assert_close, rounding
from torch import Tensor


def unit(dtype: torch.dtype) -> float:
    """A rounding's largest relative error."""
    return float(torch.finfo(dtype).eps) / 2


def attention_error(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, rounded: int = 0
) -> float:
    """How far attention in fp32 over any of the keys may be from exact, before it is stored.

    `rounded` says how often a score is rounded to the inputs' type on its way; where it is,
    probabilities are, too.
    """
    rows, keys = (x.double().abs().flatten(0, -2) for x in (query, key))
    size = torch.tensor(float((rows @ keys.T).max()) * abs(scale)).numpy()
    one = torch.ones(()).numpy()
    count = len(keys)
    of_score = FP32.of_sum(query.shape[-1], size) + 2 * FP32.unit * size
    of_weight = 2 * of_score + 2 * FP32.unit * size + FP32.of_sum(count + 16, one)
    if rounded:
        of_weight = of_weight + unit(query.dtype) * (2 * rounded * size + 1)
    return float((of_weight + FP32.of_sum(count + 1, one)) * float(value.double().abs().max()))


def assert_agree(what: str, one: Tensor, other: Tensor, error: float | Floats) -> None:
    """No further apart than the errors of both together, and a rounding of each to its type."""
    assert one.dtype == other.dtype, what
    dtype = str(one.dtype).removeprefix("torch.")
    left, right = (x.double().numpy() for x in (one, other))
    assert_close(what, left, right, error + rounding(dtype, abs(left)), dtype)

"""Arrays with error bounds, for formulas that round on their way.

An evaluation in fp32 that rounds an intermediate may land on the neighbour of the exactly rounded
value. `Approx` carries how far it may be off through products, norms and rotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from case_file import Real, RealName
from formulation import Floats
from precision import Family


@dataclass
class Approx:
    """Exact values, and how far an evaluation of the family may be from them."""

    value: Floats
    error: Floats
    # Independent errors add up by squares; so many roots of the sum are their bound. The error of
    # an evaluation is 8 deviations already, and so is then the sum's. That of a value of 16 bits
    # may be one rounding that fell the other way: one deviation.
    deviations: float = 1.0

    @classmethod
    def exact(cls, value: Floats) -> Approx:
        """What is given."""
        return cls(value, np.zeros_like(value))

    def like(self, value: Floats, error: Floats) -> Approx:
        """Others, computed from these."""
        return Approx(value, error, self.deviations)

    def columns(self, begin: int, end: int) -> Approx:
        """Part of the last dimension."""
        return self.like(self.value[..., begin:end], self.error[..., begin:end])

    def reshape(self, *shape: int) -> Approx:
        """The same elements."""
        return self.like(self.value.reshape(shape), self.error.reshape(shape))

    def rounded(self, dtype: RealName) -> Approx:
        """To the type: the error becomes the distance to the farthest value in reach."""
        middle = Real.round(self.value, dtype).values
        low = Real.round(self.value - self.error, dtype).values
        high = Real.round(self.value + self.error, dtype).values
        # In fp32 a rounding is one of the many that the error of the evaluation has.
        deviations = self.deviations if dtype == "float32" else 8.0
        return Approx(middle, np.maximum(middle - low, high - middle), deviations)


def joined(a: Approx, b: Approx) -> Approx:
    """Along the last dimension."""
    value = np.concatenate([a.value, b.value], -1)
    error = np.concatenate([a.error, b.error], -1)
    return Approx(value, error, max(a.deviations, b.deviations))


def product(x: Approx, weight: Floats, family: Family) -> Approx:
    """Of x [.., K] and weight [K, N]; errors of the terms are independent."""
    spread = x.error @ np.abs(weight)
    likely = x.deviations * np.sqrt(np.square(x.error) @ np.square(weight))
    size = np.abs(x.value) @ np.abs(weight) + spread
    error = family.of_sum(max(weight.shape[0], 1), size) + np.minimum(spread, likely)
    return x.like(x.value @ weight, error)


def plus(x: Approx, term: Floats, family: Family) -> Approx:
    """Of x and a term that is exact: one rounding more."""
    value = x.value + term
    return x.like(value, x.error + family.unit * (np.abs(value) + x.error))


def product_per_head(x: Approx, weights: Floats, family: Family) -> Approx:
    """Of x [.., heads, K] and a weight [K, N] of each head."""
    heads = [
        product(x.like(x.value[..., h, :], x.error[..., h, :]), weight, family)
        for h, weight in enumerate(weights)
    ]
    return x.like(np.stack([h.value for h in heads], -2), np.stack([h.error for h in heads], -2))


def inner(x: Approx, y: Approx, family: Family) -> Approx:
    """Of x [M, K] and y [N, K], both with errors: [M, N]; errors of the terms are independent."""
    size, other = np.abs(x.value), np.abs(y.value)
    spread = x.error @ (other + y.error).T + size @ y.error.T
    square, error = np.square(x.error), np.square(y.error)
    deviations = max(x.deviations, y.deviations)
    likely = np.sqrt(square @ (np.square(other) + error).T + np.square(size) @ error.T)
    evaluated = family.of_sum(max(size.shape[1], 1), size @ other.T + spread)
    reach = evaluated + np.minimum(spread, deviations * likely)
    return Approx(x.value @ y.value.T, reach, deviations)


def _normed(x: Approx, gamma: Floats, epsilon: float, family: Family) -> Approx:
    """Divided by the root of its mean square."""
    n = x.value.shape[-1]
    power = np.square(x.value).sum(-1, keepdims=True)
    slack = ((2 * np.abs(x.value) + x.error) * x.error).sum(-1, keepdims=True)
    slack = (slack + family.of_sum(n, power + slack)) / n
    scale = 1 / np.sqrt(power / n + epsilon)
    most = 1 / np.sqrt(np.maximum(power / n - slack, 0) + epsilon)
    shift = most - scale + 6 * family.unit * most
    reach = np.abs(x.value) + x.error
    return x.like(x.value * scale * gamma, np.abs(gamma) * (x.error * scale + reach * shift))


def rms_norm(x: Approx, gamma: Floats, epsilon: float, family: Family) -> Approx:
    """Over the last dimension."""
    return _normed(x, gamma, epsilon, family)


def layer_norm(x: Approx, gamma: Floats, beta: Floats, epsilon: float, family: Family) -> Approx:
    """Over the last dimension."""
    n = x.value.shape[-1]
    mean = x.value.mean(-1, keepdims=True)
    reach = (np.abs(x.value) + x.error).sum(-1, keepdims=True)
    slack = (x.error.sum(-1, keepdims=True) + family.of_sum(n, reach)) / n
    centred = x.value - mean
    y = _normed(
        x.like(centred, x.error + slack + family.unit * np.abs(centred)), gamma, epsilon, family
    )
    return x.like(y.value + beta, y.error + family.unit * np.abs(y.value + beta))


def rope(x: Approx, sin: Floats, cos: Floats, interleaved: bool, family: Family) -> Approx:
    """Pairs or halves in, halves out; sin and cos are as wide as x."""
    half = x.value.shape[-1] // 2

    def parts(a: Floats) -> tuple[Floats, Floats]:
        if interleaved:
            return a[..., 0::2], a[..., 1::2]
        return a[..., :half], a[..., half:]

    (first, second), (error1, error2) = parts(x.value), parts(x.error)
    u = np.concatenate([first, second], -1)
    turned = np.concatenate([-second, first], -1)
    error = np.abs(cos) * np.concatenate([error1, error2], -1)
    error = error + np.abs(sin) * np.concatenate([error2, error1], -1)
    error = error + 2 * family.unit * (np.abs(u * cos) + np.abs(turned * sin))
    return x.like(u * cos + turned * sin, error)


def to_nz(weight: Floats) -> Floats:
    """The memory of a matrix in panels of 16 columns, in its own shape."""
    rows, columns = weight.shape
    panels = weight.reshape(rows, columns // 16, 16).swapaxes(0, 1)
    return panels.reshape(rows, columns)

"""Gradients of attention against their formula: dense matrices of P and dS, and what is seen.

A sequence says how often each token sees each key; which keys those are is the operators' affair.
The statistics of random calls are near those of the forward and not equal to them: they are taken
as given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from case_file import Real, RealName, Tensor
from formulation import FLT_MAX, Bools, Floats, Ints
from pages import pad
from precision import Family, assert_close
from runner import Outputs

Gradients = tuple[Floats, Floats, Floats]  # of queries [q, N, D], keys [n, N2, D], values
Weights = tuple[Floats, Floats, Floats, Floats]


@dataclass
class Sequence:
    """Tokens, their keys, and what the forward gave them."""

    query: Floats  # [q, N, D]
    key: Floats  # [n, N2, D]
    value: Floats  # [n, N2, D2]
    out_grad: Floats  # [q, N, D2]
    maximum: Floats  # [q, N]
    total: Floats  # [q, N]
    seen: Ints  # [q, N2, n]: how often
    unread: Bools  # [n, N2]: keys that may hold anything
    mean: Bools  # [q]: tokens that see no key and took the mean of all values
    shared: bool = False  # values are the first channels of keys: one gradient has both
    sinks: Floats | None = None  # [N]

    @property
    def group(self) -> int:
        """Query heads of a key head."""
        return int(self.query.shape[1] // self.key.shape[1])


@dataclass
class Batch:
    """Sequences; layouts are made when a call runs."""

    sequences: list[Sequence]
    scale: float
    dtype: RealName

    def lay(self, parts: list[Floats], layout: str, fill: float = np.nan) -> Floats:
        """What a call has of every token or key, in one tensor."""
        return np.concatenate(parts) if layout == "TND" else pad(parts, fill)

    def lengths(self, layout: str) -> tuple[Ints, Ints]:
        """Of queries and of keys."""
        counts = np.array([(len(s.query), len(s.key)) for s in self.sequences]).T
        query, key = np.cumsum(counts, axis=1) if layout == "TND" else counts
        return query, key

    def tensors(self, layout: str = "TND") -> dict[str, Tensor]:
        """Those of every operator; keys that nobody may read are NaN."""
        parts = self.sequences
        unread = [s.unread[:, :, None] for s in parts]
        keys = [np.where(u, np.nan, s.key) for s, u in zip(parts, unread, strict=True)]
        values = [np.where(u, np.nan, s.value) for s, u in zip(parts, unread, strict=True)]
        reals = {
            "query": [s.query for s in parts],
            "key": keys,
            "value": values,
            "attention_out_grad": [s.out_grad for s in parts],
        }
        statistics = {
            "softmax_max": [s.maximum for s in parts],
            "softmax_sum": [s.total for s in parts],
        }
        tensors: dict[str, Tensor] = {
            name: Real.round(self.lay(of, layout), self.dtype) for name, of in reals.items()
        }
        for name, of in statistics.items():
            tensors[name] = self.lay(of, layout).astype(np.float32)
        return tensors

    def split(self, outputs: Outputs, layout: str = "TND") -> list[Gradients]:
        """The gradients of every sequence; padding has none."""
        query, key = self.lengths(layout)
        names = (("query_grad", query), ("key_grad", key), ("value_grad", key))
        found = [self.split_one(outputs, name, ends, layout) for name, ends in names]
        return list(zip(*found, strict=True))

    def split_one(self, outputs: Outputs, name: str, ends: Ints, layout: str) -> list[Floats]:
        """One gradient of every sequence."""
        assert outputs.real(name).dtype == self.dtype
        values = outputs.real(name).values
        if layout == "TND":
            assert np.all(values[ends[-1] :] == 0), name
            return np.split(values, ends)[:-1]
        for row, count in zip(values, ends, strict=True):
            assert np.all(row[count:] == 0), name
        return [row[:count] for row, count in zip(values, ends, strict=True)]


def check(batch: Batch, found: list[Gradients], family: Family) -> None:
    """Every gradient within the bound of its evaluation; that of a key that nobody sees is 0."""
    for b, (s, (query_grad, key_grad, value_grad)) in enumerate(
        zip(batch.sequences, found, strict=True)
    ):
        never = ~s.seen.any(axis=0).T  # [n, N2]
        assert np.all(key_grad[never] == 0)
        assert s.mean.any() or np.all(value_grad[never] == 0)
        most = int(s.seen.max(initial=1))
        for g in range(s.key.shape[1]):
            sums: dict[str, Floats] = {
                n: np.zeros(s.key[:, g].shape) for n in ("key", "key error", "key size")
            }
            sums |= {
                n: np.zeros(s.value[:, g].shape) for n in ("value", "value error", "value size")
            }
            for h in range(g * s.group, (g + 1) * s.group):
                ds, ds_error, p, p_error = weights(s, h, batch.scale, family)
                k, q, grad = s.key[:, g], s.query[:, h], s.out_grad[:, h]
                size = np.abs(ds) @ np.abs(k)
                error = ds_error @ np.abs(k) + family.of_sum(most * len(k) + 1, size)
                where = f"[{b}, head {h}]"
                assert_close(f"query_grad{where}", query_grad[:, h], ds @ k, error, batch.dtype)
                sums["key"] += ds.T @ q
                sums["key error"] += ds_error.T @ np.abs(q)
                sums["key size"] += np.abs(ds).T @ np.abs(q)
                sums["value"] += p.T @ grad
                sums["value error"] += p_error.T @ np.abs(grad)
                sums["value size"] += p.T @ np.abs(grad)
            terms = most * len(s.query) * s.group + 1
            if s.shared:
                for part in ("", " error", " size"):
                    of_value = sums["value" + part]
                    sums["key" + part][:, : of_value.shape[1]] += of_value
                terms *= 2
            grads = {"key": key_grad} | ({} if s.shared else {"value": value_grad})
            for name, values in grads.items():
                error = sums[f"{name} error"] + family.of_sum(terms, sums[f"{name} size"])
                where = f"{name}_grad[{b}, kv head {g}]"
                assert_close(where, values[:, g], sums[name], error, batch.dtype)


def probabilities(s: Sequence, h: int, scale: float, family: Family) -> tuple[Floats, Floats]:
    """P [q, n] by the scores, and its error. A key that is seen twice counts twice."""
    g, unit = h // s.group, family.unit
    seen, often = s.seen[:, g] > 0, s.seen[:, g]
    query, key = s.query[:, h], s.key[:, g]
    top = np.where(seen.any(axis=1), s.maximum[:, h], 0)[:, None]
    total = np.where(s.total[:, h] > 0, s.total[:, h], 1)[:, None]
    size = abs(scale) * (np.abs(query) @ np.abs(key).T)
    p = often * np.exp(np.where(seen, scale * (query @ key.T) - top, 0)) / total
    relative = family.of_sum(key.shape[1], size) + 4 * unit * (size + np.abs(top))
    relative = relative + family.of_sum(16, np.ones(1))
    return p, relative * p + often * family.underflow / total


def deltas(s: Sequence, h: int, p: Floats, p_error: Floats, family: Family) -> Weights:
    """What `out_grad` says of every value, dP [q, n], its mean [q, 1], and the error of each."""
    often = s.seen[:, h // s.group]
    value, grad = s.value[:, h // s.group], s.out_grad[:, h]
    dp, dp_error = grad @ value.T, family.of_sum(value.shape[1], np.abs(grad) @ np.abs(value).T)
    delta = (p * dp).sum(axis=1, keepdims=True)
    delta_error = (p_error * np.abs(dp) + p * dp_error).sum(axis=1, keepdims=True)
    magnitude = (p * np.abs(dp)).sum(axis=1, keepdims=True)
    terms = float(often.sum(axis=1).max(initial=0)) + 1
    return dp, dp_error, delta, delta_error + family.of_sum(terms, magnitude)


def weights(s: Sequence, h: int, scale: float, family: Family) -> Weights:
    """What each key counts for in dQ and dK, and in dV: dS and P [q, n], each with its error."""
    unit = family.unit
    p, p_error = probabilities(s, h, scale, family)
    dp, dp_error, delta, delta_error = deltas(s, h, p, p_error, family)
    difference = dp - delta
    error = dp_error + delta_error + unit * (np.abs(dp) + np.abs(delta))
    ds = scale * p * difference
    ds_error = abs(scale) * (p_error * np.abs(difference) + p * error) + 4 * unit * np.abs(ds)
    if s.mean.any():  # no score moved it
        p = np.where(s.mean[:, None], 1 / max(len(s.key), 1), p)
        p_error = np.where(s.mean[:, None], 4 * unit * p, p_error)
    return ds, ds_error, p, p_error


def sink_gradient(s: Sequence, scale: float, family: Family) -> tuple[Floats, Floats, Floats]:
    """Of one sequence: its gradient of sinks [N], the error, and the sum of its terms' sizes."""
    assert s.sinks is not None
    found = np.zeros((3, len(s.sinks)))
    for h, sink in enumerate(s.sinks):
        p, p_error = probabilities(s, h, scale, family)
        _, _, delta, delta_error = (x[:, :1] for x in deltas(s, h, p, p_error, family))
        weight = np.exp(sink - s.maximum[:, h])[:, None] / s.total[:, h][:, None]
        relative = 4 * family.unit * (abs(sink) + np.abs(s.maximum[:, h])[:, None])
        relative = relative + family.of_sum(16, np.ones(1))
        error = weight * (relative * np.abs(delta) + delta_error) + family.underflow
        size = weight * np.abs(delta)
        found[:, h] = -(weight * delta).sum(), error.sum(), size.sum()
    return found[0], found[1], found[2]


def check_sinks(batch: Batch, found: Floats, family: Family) -> None:
    """Sums over all tokens of the call."""
    gradients = np.array([sink_gradient(s, batch.scale, family) for s in batch.sequences])
    expected, error, size = gradients.sum(axis=0)
    terms = sum(len(s.query) for s in batch.sequences) + 1
    assert_close("sinks_grad", found, expected, error + family.of_sum(terms, size), "float32")


def sequence(
    rng: np.random.Generator,
    tensors: tuple[Floats, Floats, Floats],
    seen: Ints | Bools,
    scale: float,
    dtype: RealName,
    *,
    unread: Bools | None = None,
    mean: Bools | None = None,
    shared: bool = False,
    sinks: Floats | None = None,
) -> Sequence:
    """Query, key and value, with statistics and a gradient of what came out."""
    query, key, value = tensors
    heads, kv_heads = query.shape[1], key.shape[1]
    seen = np.broadcast_to(seen, (len(query), kv_heads, len(key))).astype(np.int64)
    made = Sequence(
        query,
        key,
        value,
        Real.round(rng.standard_normal((len(query), heads, value.shape[2])), dtype).values,
        np.empty((len(query), heads)),
        np.empty((len(query), heads)),
        seen,
        np.zeros((len(key), kv_heads), bool) if unread is None else unread,
        np.zeros(len(query), bool) if mean is None else mean,
        shared,
        sinks,
    )
    set_statistics(rng, made, scale)
    return made


def small_tensors(seed: int) -> tuple[Floats, Floats, Floats]:
    """Query, key and value of one head, 4 tokens and 6 keys, for `assert_derivative`."""
    rng = np.random.default_rng(seed)
    query, key, value = (rng.standard_normal(shape) for shape in ((4, 1, 3), (6, 1, 3), (6, 1, 2)))
    return query, key, value


def set_statistics(rng: np.random.Generator, s: Sequence, scale: float) -> None:
    """Of the forward, and then moved: nothing may normalise them away."""
    for h in range(s.query.shape[1]):
        often = s.seen[:, h // s.group]
        scores = scale * (s.query[:, h] @ s.key[:, h // s.group].T)
        sink = -np.inf if s.sinks is None else s.sinks[h]
        top = np.where(often > 0, scores, -np.inf).max(axis=1, initial=sink)
        finite = np.where(np.isfinite(top), top, 0)
        moved = finite + rng.normal(0, 0.5, len(top))
        e = np.where(often > 0, often * np.exp(np.where(often > 0, scores - moved[:, None], 0)), 0)
        total = (e.sum(axis=1) + np.exp(sink - moved)) * rng.uniform(0.5, 2, len(top))
        of_mean = np.full(len(top), float(len(s.key)))
        s.maximum[:, h] = np.where(s.mean, -FLT_MAX, np.where(np.isfinite(top), moved, top))
        s.maximum[:, h] = s.maximum[:, h].astype(np.float32)
        s.total[:, h] = np.where(s.mean, of_mean, total).astype(np.float32)


def assert_derivative(s: Sequence, scale: float) -> None:
    """The formula is that of attention: by differences of the forward, with its own statistics.

    Of one head.
    """
    often = s.seen[:, 0]
    sinks = np.full(1, -np.inf) if s.sinks is None else s.sinks

    def loss() -> float:
        scores = np.where(often > 0, scale * (s.query[:, 0] @ s.key[:, 0].T), -np.inf)
        top = scores.max(axis=1, initial=sinks[0])[:, None]
        e = often * np.exp(np.where(often > 0, scores - np.where(np.isfinite(top), top, 0), 0))
        finite = np.where(np.isfinite(top), top, 0)
        s.maximum[:, :] = top
        s.total[:, :] = e.sum(axis=1, keepdims=True) + np.exp(sinks - finite)
        p = e / np.where(s.total > 0, s.total, 1)
        p[s.mean] = 1 / len(s.key)
        return float((p @ s.value[:, 0] * s.out_grad[:, 0]).sum())

    def derivative(of: Floats) -> Floats:
        slopes = np.empty(of.shape)
        for at in np.ndindex(of.shape):
            before = of[at]
            sides = []
            for step in (1e-5, -1e-5):
                of[at] = before + step
                sides.append(loss())
            of[at] = before
            slopes[at] = (sides[0] - sides[1]) / 2e-5
        return slopes

    of = (s.query, s.key) if s.shared else (s.query, s.key, s.value)
    expected = [derivative(tensor)[:, 0] for tensor in of]
    if s.sinks is not None:
        expected.append(derivative(s.sinks))
    loss()
    exact = Family(unit=2.0**-53, underflow=0.0)
    ds, _, p, _ = weights(s, 0, scale, exact)
    found = [ds @ s.key[:, 0], ds.T @ s.query[:, 0], p.T @ s.out_grad[:, 0]]
    if s.shared:
        value_grad = found.pop()
        found[1][:, : value_grad.shape[1]] += value_grad
    if s.sinks is not None:
        found.append(sink_gradient(s, scale, exact)[0])
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < 1e-8

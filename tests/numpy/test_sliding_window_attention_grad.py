"""sliding_window_attention_grad against its formula: dense matrices of P and dS, and a mask.

The statistics are near those of the forward and not equal to them: they are taken as given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from attention_calls import random_limits
from case_file import Real, RealName, Tensor
from formulation import Bools, Floats, Ints
from pages import hide, pad
from precision import Family, assert_close
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
Gradients = tuple[Floats, Floats, Floats]  # of queries [q, N, D], keys [n, N2, D], values


@dataclass
class Sequence:
    """Tokens, their keys, and what the forward gave them."""

    query: Floats  # [q, N, D]
    key: Floats  # [n, N2, D]
    value: Floats  # [n, N2, D2]
    out_grad: Floats  # [q, N, D2]
    maximum: Floats  # [q, N]
    total: Floats  # [q, N]
    limits: Ints  # [q]
    start: int

    def seen(self, window: int) -> Bools:
        """Which keys a token sees: [q, n]."""
        q, n = len(self.query), len(self.key)
        end = np.minimum(n - q + np.arange(q) + 1, self.limits)[:, None]
        at = np.arange(n)
        return np.asarray((at < end) & (at >= end - window) & (at >= self.start))


@dataclass
class Call:
    """A batch; layouts are made when it runs."""

    sequences: list[Sequence]
    window: int
    scale: float
    dtype: RealName
    hidden: bool  # by starts and limits

    def run(self, runner: Runner, implementation: Implementation, layout: str) -> list[Gradients]:
        """The gradients of every sequence."""
        counts = [(len(s.query), len(s.key)) for s in self.sequences]
        starts = [s.start for s in self.sequences]

        def lay(parts: list[Floats]) -> Floats:
            return np.concatenate(parts) if layout == "TND" else pad(parts)

        def lengths(which: int) -> Ints:
            given = np.array([pair[which] for pair in counts])
            return np.cumsum(given) if layout == "TND" else given

        tensors: dict[str, Tensor] = {
            "query": Real.round(lay([s.query for s in self.sequences]), self.dtype),
            "attention_out_grad": Real.round(lay([s.out_grad for s in self.sequences]), self.dtype),
            "softmax_max": lay([s.maximum for s in self.sequences]).astype(np.float32),
            "softmax_sum": lay([s.total for s in self.sequences]).astype(np.float32),
            "actual_seq_lengths_query": lengths(0).astype(np.int32),
            "actual_seq_lengths_kv": lengths(1).astype(np.int64),
        }
        for name, parts in (
            ("key", [s.key for s in self.sequences]),
            ("value", [s.value for s in self.sequences]),
        ):
            tensors[name] = Real.round(lay(hide(parts, starts)), self.dtype)
        if self.hidden:
            limits = [s.limits.astype(float) for s in self.sequences]
            tensors["key_starts"] = np.array(starts, np.int64)
            packed = np.concatenate(limits) if layout == "TND" else pad(limits, -(2**31))
            tensors["key_limits"] = packed.astype(np.int32)
        attributes = {
            "scale_value": self.scale,
            "window_size": self.window,
            "layout_query": layout,
            "layout_kv": layout,
        }
        outputs = runner.run("sliding_window_attention_grad", implementation, tensors, attributes)
        found = []
        for name, which in (("query_grad", 0), ("key_grad", 1), ("value_grad", 1)):
            assert outputs.real(name).dtype == self.dtype
            values = outputs.real(name).values
            if layout == "TND":
                found.append(np.split(values, lengths(which)[:-1]))
                continue
            for row, pair in zip(values, counts, strict=True):
                assert np.all(row[pair[which] :] == 0), name
            found.append([row[: pair[which]] for row, pair in zip(values, counts, strict=True)])
        return list(zip(*found, strict=True))


def check(call: Call, found: list[Gradients], family: Family) -> None:
    """Every gradient within the bound of its evaluation."""
    for b, (s, (query_grad, key_grad, value_grad)) in enumerate(
        zip(call.sequences, found, strict=True)
    ):
        group = s.query.shape[1] // s.key.shape[1]
        assert np.all(key_grad[: s.start] == 0)
        assert np.all(value_grad[: s.start] == 0)
        for g in range(s.key.shape[1]):
            sums = {n: np.zeros(s.key[:, g].shape) for n in ("key", "key error", "key size")}
            sums |= {
                n: np.zeros(s.value[:, g].shape) for n in ("value", "value error", "value size")
            }
            for h in range(g * group, (g + 1) * group):
                ds, ds_error, p, p_error = weights(call, s, h, g, family)
                k, q, grad = s.key[:, g], s.query[:, h], s.out_grad[:, h]
                error = ds_error @ np.abs(k) + family.of_sum(len(k) + 1, np.abs(ds) @ np.abs(k))
                where = f"[{b}, head {h}]"
                assert_close(f"query_grad{where}", query_grad[:, h], ds @ k, error, call.dtype)
                sums["key"] += ds.T @ q
                sums["key error"] += ds_error.T @ np.abs(q)
                sums["key size"] += np.abs(ds).T @ np.abs(q)
                sums["value"] += p.T @ grad
                sums["value error"] += p_error.T @ np.abs(grad)
                sums["value size"] += p.T @ np.abs(grad)
            terms = len(s.query) * group + 1
            for name, values in (("key", key_grad), ("value", value_grad)):
                error = sums[f"{name} error"] + family.of_sum(terms, sums[f"{name} size"])
                where = f"{name}_grad[{b}, kv head {g}]"
                assert_close(where, values[:, g], sums[name], error, call.dtype)


def weights(
    call: Call, s: Sequence, h: int, g: int, family: Family
) -> tuple[Floats, Floats, Floats, Floats]:
    """What each key counts for in dQ and dK, and in dV: dS and P [q, n], each with its error."""
    seen, scale, unit = s.seen(call.window), call.scale, family.unit
    query, key, value, grad = s.query[:, h], s.key[:, g], s.value[:, g], s.out_grad[:, h]
    top = np.where(np.isfinite(s.maximum[:, h]), s.maximum[:, h], 0)[:, None]
    total = np.where(s.total[:, h] > 0, s.total[:, h], 1)[:, None]
    size = abs(scale) * (np.abs(query) @ np.abs(key).T)
    p = np.where(seen, np.exp(np.where(seen, scale * (query @ key.T) - top, 0)) / total, 0)
    relative = family.of_sum(key.shape[1], size) + 4 * unit * (size + np.abs(top))
    relative = relative + family.of_sum(16, np.ones(1))
    p_error = np.where(seen, relative * p + family.underflow / total, 0)
    dp, dp_error = grad @ value.T, family.of_sum(value.shape[1], np.abs(grad) @ np.abs(value).T)
    delta = (p * dp).sum(axis=1, keepdims=True)
    delta_error = (p_error * np.abs(dp) + p * dp_error).sum(axis=1, keepdims=True)
    magnitude = (p * np.abs(dp)).sum(axis=1, keepdims=True)
    delta_error = delta_error + family.of_sum(seen.shape[1] + 1, magnitude)
    difference = dp - delta
    error = dp_error + delta_error + unit * (np.abs(dp) + np.abs(delta))
    ds = scale * p * difference
    ds_error = abs(scale) * (p_error * np.abs(difference) + p * error) + 4 * unit * np.abs(ds)
    return ds, ds_error, p, p_error


def random_call(seed: int, dtype: RealName) -> Call:
    rng = np.random.default_rng(seed)
    kv_heads = int(rng.integers(1, 4))
    heads = kv_heads * int(rng.integers(1, 9))
    dim, value_dim = int(rng.integers(1, 70)), int(rng.integers(1, 70))
    hidden = rng.random() < 0.5
    batch = int(rng.integers(1, 4))
    counts = [(int(rng.integers(0, 50)), int(rng.integers(0, 150))) for _ in range(batch)]
    counts[0] = (counts[0][0] + 1, counts[0][1] + 1)

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    call = Call([], 0, 0.0, dtype, hidden)
    call.window = int(rng.choice([0, 1, 5, 20, 20, 64, 64, 1000]))
    call.scale = float(np.float32(rng.uniform(0.05, 0.3)))
    for q, n in counts:
        call.sequences.append(
            Sequence(
                query=normal(q, heads, dim),
                key=normal(n, kv_heads, dim),
                value=normal(n, kv_heads, value_dim),
                out_grad=normal(q, heads, value_dim),
                maximum=np.empty((q, heads)),
                total=np.empty((q, heads)),
                limits=random_limits(rng, np.full(q, n)) if hidden else np.full(q, n),
                start=int(rng.integers(0, n + 1)) if hidden else 0,
            )
        )
        set_statistics(rng, call, call.sequences[-1])
    return call


def set_statistics(rng: np.random.Generator, call: Call, s: Sequence) -> None:
    """Of the forward, and then moved: nothing may normalise them away."""
    seen, group = s.seen(call.window), s.query.shape[1] // s.key.shape[1]
    for h in range(s.query.shape[1]):
        scores = np.where(seen, call.scale * (s.query[:, h] @ s.key[:, h // group].T), -np.inf)
        top = scores.max(axis=1, initial=-np.inf)
        finite = np.where(np.isfinite(top), top, 0)
        moved = finite + rng.normal(0, 0.5, len(top))
        total = np.exp(scores - moved[:, None]).sum(axis=1) * rng.uniform(0.5, 2, len(top))
        s.maximum[:, h] = np.where(np.isfinite(top), moved, top).astype(np.float32)
        s.total[:, h] = total.astype(np.float32)


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = random_call(970 + seed, DTYPES[seed % 3])
    check(call, call.run(runner, implementation, layout), implementation.family)


def test_the_formula_is_the_derivative_of_attention() -> None:
    """By differences of the forward, with its own statistics."""
    rng = np.random.default_rng(990)
    q, n, scale = 4, 6, 0.4
    s = Sequence(
        query=rng.standard_normal((q, 1, 3)),
        key=rng.standard_normal((n, 1, 3)),
        value=rng.standard_normal((n, 1, 2)),
        out_grad=rng.standard_normal((q, 1, 2)),
        maximum=np.empty((q, 1)),
        total=np.empty((q, 1)),
        limits=np.full(q, n),
        start=1,
    )
    call = Call([s], 3, scale, "float32", True)
    seen = s.seen(call.window)

    def loss() -> float:
        scores = np.where(seen, scale * (s.query[:, 0] @ s.key[:, 0].T), -np.inf)
        s.maximum[:, 0] = scores.max(axis=1)
        e = np.exp(scores - s.maximum)
        s.total[:, 0] = e.sum(axis=1)
        return float((e / s.total @ s.value[:, 0] * s.out_grad[:, 0]).sum())

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
        return slopes[:, 0]

    expected = [derivative(tensor) for tensor in (s.query, s.key, s.value)]
    loss()
    ds, _, p, _ = weights(call, s, 0, 0, Family(unit=2.0**-53, underflow=0.0))
    found = [ds @ s.key[:, 0], ds.T @ s.query[:, 0], p.T @ s.out_grad[:, 0]]
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < 1e-8

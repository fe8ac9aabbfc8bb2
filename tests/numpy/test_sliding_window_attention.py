"""sliding_window_attention against its formula: a mask of positions, then plain softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from attention_calls import random_limits
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints
from pages import block_table, deal, hide, pad
from precision import Family, assert_close
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
LAYOUTS = ["BSND/BSND", "TND/TND", "BSND/PA_BSND", "TND/PA_BSND"]


@dataclass
class Call:
    """Sequences of query tokens with their keys and values; layouts are made when it runs."""

    queries: list[Floats]  # per sequence [q, N, D]
    keys: list[Floats]  # [n, N2, D]
    values: list[Floats]  # [n, N2, D2]
    window: int
    scale: float
    dtype: RealName
    page: int = 16
    starts: list[int] | None = None  # per sequence, or one for all
    limits: list[Ints] | None = None  # per sequence [q]
    out_dtype: str = "input"

    def start(self, b: int) -> int:
        """The first key of a sequence that counts."""
        return 0 if self.starts is None else self.starts[b % len(self.starts)]

    def ends(self, b: int) -> Ints:
        """Where the window of each token ends."""
        q = len(self.queries[b])
        own = len(self.keys[b]) - q + np.arange(q) + 1
        return own if self.limits is None else np.minimum(own, self.limits[b])

    def dead(self, b: int) -> int:
        """Pages of a sequence before every window; limits, which no plan knows, may be anywhere."""
        n, q = len(self.keys[b]), len(self.queries[b])
        first = 0 if self.limits is not None else n - q + 1 - self.window
        return max(first, self.start(b)) // self.page

    def stored(self) -> str:
        """The type of the output."""
        return self.dtype if self.out_dtype == "input" else "float32"

    def run(
        self, runner: Runner, implementation: Implementation, layout: str
    ) -> list[tuple[Floats, Floats, Floats]]:
        """Attention [q, N, D2], max and sum [q, N] of every sequence."""
        query_layout, kv_layout = layout.split("/")
        dead = [self.dead(b) for b in range(len(self.keys))]

        def lay(parts: list[Floats], how: str) -> Real:
            if parts is not self.queries:
                parts = hide(parts, [self.start(b) for b in range(len(parts))])
            if how == "TND":
                return Real.round(np.concatenate(parts), self.dtype)
            if how == "BSND":
                return Real.round(pad(parts), self.dtype)
            parts = hide(parts, [count * self.page for count in dead])
            return Real.round(deal(parts, self.page), self.dtype)

        q_lengths = np.array([len(q) for q in self.queries])
        n_lengths = np.array([len(k) for k in self.keys])
        tensors: dict[str, Tensor] = {
            "query": lay(self.queries, query_layout),
            "key": lay(self.keys, kv_layout),
            "value": lay(self.values, kv_layout),
            "actual_seq_lengths_query": (
                np.cumsum(q_lengths) if query_layout == "TND" else q_lengths
            ).astype(np.int32),
            "actual_seq_lengths_kv": (
                np.cumsum(n_lengths) if kv_layout == "TND" else n_lengths
            ).astype(np.int64),
        }
        if kv_layout == "PA_BSND":
            tensors["block_table"] = block_table(n_lengths.tolist(), self.page, dead)
        if self.starts is not None:
            tensors["key_starts"] = np.array(self.starts, np.int64)
        if self.limits is not None:
            limits = [row.astype(float) for row in self.limits]
            packed = np.concatenate(limits) if query_layout == "TND" else pad(limits, -(2**31))
            tensors["key_limits"] = packed.astype(np.int32)
        attributes = {
            "scale_value": self.scale,
            "window_size": self.window,
            "layout_query": query_layout,
            "layout_kv": kv_layout,
            "out_dtype": self.out_dtype,
        }
        outputs = runner.run("sliding_window_attention", implementation, tensors, attributes)
        assert outputs.real("attention_out").dtype == self.stored()
        found = (
            outputs.real("attention_out").values,
            outputs.floats("softmax_max"),
            outputs.floats("softmax_sum"),
        )
        if query_layout == "TND":
            ends = np.cumsum(q_lengths)[:-1]
            split = [np.split(output, ends) for output in found]
            return list(zip(*split, strict=True))
        for output, empty in zip(found, (0, -np.inf, 0), strict=True):
            for b, q in enumerate(q_lengths):
                assert np.all(output[b, q:] == empty)
        return [
            (found[0][b, :q], found[1][b, :q], found[2][b, :q]) for b, q in enumerate(q_lengths)
        ]


def check(call: Call, found: list[tuple[Floats, Floats, Floats]], family: Family) -> None:
    """Every row and head within the bound of its evaluation."""
    scale = float(np.float32(call.scale))
    for b, (out, top, total) in enumerate(found):
        query, key, value = call.queries[b], call.keys[b], call.values[b]
        q, n = len(query), len(key)
        group = query.shape[1] // key.shape[1]
        at, end = np.arange(n), call.ends(b)[:, None]
        seen = (at < end) & (at >= end - call.window) & (at >= call.start(b))
        for h in range(query.shape[1]):
            where = f"[{b}, head {h}]"
            k, v = key[:, h // group], value[:, h // group]
            score = np.where(seen, scale * (query[:, h] @ k.T), -np.inf)
            size = np.where(seen, abs(scale) * (np.abs(query[:, h]) @ np.abs(k).T), 0)
            size = size.max(axis=1, initial=0)
            want_top = score.max(axis=1, initial=-np.inf)
            e = np.exp(score - np.where(np.isfinite(want_top), want_top, 0)[:, None])
            want_total = e.sum(axis=1)
            p = e / np.where(want_total > 0, want_total, 1)[:, None]
            count = seen.sum(axis=1)
            of_score = family.of_sum(key.shape[2], size) + 2 * family.unit * size
            terms = float(count.max(initial=0))
            one = np.ones(q)
            relative = 2 * of_score + 2 * family.unit * size + family.of_sum(terms + 16, one)
            lost = family.underflow * terms
            error = (relative + family.of_sum(terms + 1, one))[:, None] * (p @ np.abs(v))
            error = error + lost * np.abs(v).max(initial=1.0)
            assert_close(f"attention_out{where}", out[:, h], p @ v, error, call.stored())
            assert_close(f"softmax_max{where}", top[:, h], want_top, of_score, "float32")
            assert_close(
                f"softmax_sum{where}",
                total[:, h],
                want_total,
                relative * want_total + lost,
                "float32",
            )


def random_call(seed: int, dtype: RealName) -> Call:
    rng = np.random.default_rng(seed)
    kv_heads = int(rng.integers(1, 4))
    heads = kv_heads * int(rng.integers(1, 9))
    dim, value_dim = int(rng.integers(1, 70)), int(rng.integers(1, 70))
    batch = int(rng.integers(1, 4))
    q_lengths = rng.integers(0, 50, batch).tolist()
    n_lengths = rng.integers(0, 150, batch).tolist()
    q_lengths[0] += 1
    n_lengths[-1] += 1
    starts = limits = None
    if rng.random() < 0.5:
        starts = [int(rng.integers(0, n + 1)) for n in n_lengths]
        if rng.random() < 0.3:
            starts = [min(starts)]
    if rng.random() < 0.5:
        pairs = zip(q_lengths, n_lengths, strict=True)
        limits = [random_limits(rng, np.full(q, n)) for q, n in pairs]

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    return Call(
        queries=[normal(q, heads, dim) for q in q_lengths],
        keys=[normal(n, kv_heads, dim) for n in n_lengths],
        values=[normal(n, kv_heads, value_dim) for n in n_lengths],
        window=int(rng.choice([0, 1, 5, 20, 20, 64, 64, 1000])),
        scale=float(rng.uniform(0.05, 0.3)),
        dtype=dtype,
        page=int(rng.integers(1, 30)),
        starts=starts,
        limits=limits,
        out_dtype=str(rng.choice(["input", "float32"])),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = random_call(950 + seed, DTYPES[seed % 3])
    check(call, call.run(runner, implementation, layout), implementation.family)


def test_the_window_of_the_paper(runner: Runner, implementation: Implementation) -> None:
    rng = np.random.default_rng(960)

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), "bfloat16").values

    call = Call(
        [normal(6, 16, 192)], [normal(700, 1, 192)], [normal(700, 1, 128)], 512, 0.07, "bfloat16"
    )
    check(call, call.run(runner, implementation, "TND/TND"), implementation.family)

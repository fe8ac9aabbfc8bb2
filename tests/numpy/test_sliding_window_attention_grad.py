"""sliding_window_attention_grad against the formula of gradients of attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from attention_calls import random_limits
from attention_gradients import Batch, Gradients, assert_derivative, check, sequence, small_tensors
from case_file import Real, RealName
from formulation import Bools, Floats, Ints
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]


def seen_keys(limits: Ints, n: int, window: int, start: int) -> Bools:
    """Which keys the tokens of a sequence see: [q, 1, n]."""
    end = np.minimum(n - len(limits) + np.arange(len(limits)) + 1, limits)[:, None]
    at = np.arange(n)
    return np.asarray((at < end) & (at >= end - window) & (at >= start))[:, None]


@dataclass
class Call:
    """A batch, and what else the operator is told."""

    batch: Batch
    window: int
    starts: list[int]
    limits: list[Ints]
    hidden: bool  # by starts and limits

    def run(self, runner: Runner, implementation: Implementation, layout: str) -> list[Gradients]:
        """The gradients of every sequence."""
        query, key = self.batch.lengths(layout)
        tensors = self.batch.tensors(layout) | {
            "actual_seq_lengths_query": query.astype(np.int32),
            "actual_seq_lengths_kv": key.astype(np.int64),
        }
        if self.hidden:
            limits = [of.astype(float) for of in self.limits]
            tensors["key_starts"] = np.array(self.starts, np.int64)
            tensors["key_limits"] = self.batch.lay(limits, layout, -(2**31)).astype(np.int32)
        attributes = {
            "scale_value": self.batch.scale,
            "window_size": self.window,
            "layout_query": layout,
            "layout_kv": layout,
        }
        outputs = runner.run("sliding_window_attention_grad", implementation, tensors, attributes)
        return self.batch.split(outputs, layout)


def random_call(seed: int, dtype: RealName) -> Call:
    rng = np.random.default_rng(seed)
    kv_heads = int(rng.integers(1, 4))
    heads = kv_heads * int(rng.integers(1, 9))
    dim, value_dim = int(rng.integers(1, 70)), int(rng.integers(1, 70))
    batch = int(rng.integers(1, 4))
    counts = [(int(rng.integers(0, 50)), int(rng.integers(0, 150))) for _ in range(batch)]
    counts[0] = (counts[0][0] + 1, counts[0][1] + 1)

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    scale = float(np.float32(rng.uniform(0.05, 0.3)))
    window = int(rng.choice([0, 1, 5, 20, 20, 64, 64, 1000]))
    call = Call(Batch([], scale, dtype), window, [], [], bool(rng.random() < 0.5))
    for q, n in counts:
        limits = random_limits(rng, np.full(q, n)) if call.hidden else np.full(q, n)
        start = int(rng.integers(0, n + 1)) if call.hidden else 0
        call.limits.append(limits)
        call.starts.append(start)
        call.batch.sequences.append(
            sequence(
                rng,
                (normal(q, heads, dim), normal(n, kv_heads, dim), normal(n, kv_heads, value_dim)),
                seen_keys(limits, n, window, start),
                scale,
                dtype,
                unread=np.repeat(np.arange(n)[:, None] < start, kv_heads, axis=1),
            )
        )
    return call


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = random_call(970 + seed, DTYPES[seed % 3])
    check(call.batch, call.run(runner, implementation, layout), implementation.family)


def test_the_formula_is_the_derivative_of_attention() -> None:
    rng = np.random.default_rng(990)
    seen = seen_keys(np.full(4, 6), 6, 3, 1)
    assert_derivative(sequence(rng, small_tensors(990), seen, 0.4, "float32"), 0.4)

"""nsa_compress_infer against its formula: windows of a paged cache, written where slots say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from case_file import Real, RealName
from formulation import Floats, window_count
from pages import block_table, deal
from precision import assert_close
from runner import Implementation, Runner

DTYPES: list[RealName] = ["float16", "bfloat16", "float32"]


@dataclass
class Step:
    """Sequences, of which so many last tokens are new; slots of those that end a window."""

    sequences: list[Floats]
    new: list[int]
    weight: Floats
    stride: int
    page: int
    cache: Floats
    slots: list[int]

    def ending(self) -> list[tuple[int, int, int]]:
        """New tokens that end a window: place among the new ones, sequence, tokens up to it."""
        block, place, found = len(self.weight), 0, []
        for b, (rows, count) in enumerate(zip(self.sequences, self.new, strict=True)):
            for end in range(len(rows) - count + 1, len(rows) + 1):
                if end >= block and (end - block) % self.stride == 0:
                    found.append((place, b, end))
                place += 1
        return found

    def expected(self) -> tuple[Floats, Floats]:
        """The cache after the step, and the sums of its terms' absolute values: 0 if unwritten."""
        values, magnitudes = self.cache.copy(), np.zeros_like(self.cache)
        for (_, b, end), slot in zip(self.ending(), self.slots, strict=True):
            if slot < 0:
                continue
            terms = self.weight[:, :, None] * self.sequences[b][end - len(self.weight) : end]
            values[slot], magnitudes[slot] = terms.sum(axis=0), np.abs(terms).sum(axis=0)
        return values, magnitudes

    def call(self, dtype: RealName, slot_dtype: str = "int32") -> tuple[dict[str, Any], Any]:
        """Tensors and attributes. Slots of tokens that end no window are past the cache."""
        slots = np.full(sum(self.new), len(self.cache) + 5, slot_dtype)
        for (place, _, _), slot in zip(self.ending(), self.slots, strict=True):
            slots[place] = slot
        lengths = [len(rows) for rows in self.sequences]
        tensors = {
            "input": Real.round(deal(self.sequences, self.page), dtype),
            "weight": Real.round(self.weight, dtype),
            "slot_mapping": slots,
            "block_table": block_table(lengths, self.page),
            "cache": Real.round(self.cache, dtype),
        }
        attributes = {
            "act_seq_len": lengths,
            "actual_seq_qlen": self.new,
            "compress_block_size": len(self.weight),
            "compress_stride": self.stride,
            "page_block_size": self.page,
        }
        return tensors, attributes


def rounded(values: Floats, dtype: RealName) -> Floats:
    return Real.round(values, dtype).values


def random_step(seed: int, dtype: RealName) -> Step:
    rng = np.random.default_rng(seed)
    block = int(rng.integers(1, 40))
    stride = int(rng.integers(1, block + 1))
    lengths = [int(n) for n in rng.integers(0, 4 * block, rng.integers(1, 6))]
    heads, dim = int(rng.integers(1, 6)), int(rng.choice([1, 7, 16, 33, 128]))
    step = Step(
        [rounded(rng.standard_normal((n, heads, dim)), dtype) for n in lengths],
        [int(rng.integers(0, n + 1)) for n in lengths],
        rounded(rng.standard_normal((block, heads)) / block, dtype),
        stride,
        int(rng.integers(1, 50)),
        rounded(rng.standard_normal((30, heads, dim)), dtype),
        [],
    )
    step.slots = rng.integers(-2, 30, len(step.ending())).tolist()  # some twice
    return step


def run(
    runner: Runner, implementation: Implementation, step: Step, dtype: RealName, *options: str
) -> Real:
    """The cache afterwards."""
    return runner.run("nsa_compress_infer", implementation, *step.call(dtype), *options).real(
        "cache"
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_formula_over_random_steps_and_pages(
    runner: Runner, implementation: Implementation, seed: int, dtype: RealName
) -> None:
    step = random_step(1500 + seed, dtype)
    got = run(runner, implementation, step, dtype)
    values, magnitudes = step.expected()
    written = magnitudes.any(axis=(1, 2))
    assert np.array_equal(got.values[~written], step.cache[~written])
    error = implementation.family.of_sum(len(step.weight), magnitudes)
    assert_close("cache", got.values[written], values[written], error[written], dtype)


def test_a_window_over_two_pages_by_hand(runner: Runner, implementation: Implementation) -> None:
    # Pages of 3: token 4, the fifth, ends the window of tokens 1 to 4, which lie in both.
    tokens = np.arange(5.0).reshape(5, 1, 1)
    weight = np.array([[1.0], [10.0], [100.0], [1000.0]])
    step = Step([tokens], [1], weight, 1, 3, np.full((3, 1, 1), -1.0), [2])
    got = run(runner, implementation, step, "float32").values.ravel()
    assert got.tolist() == [-1.0, -1.0, 1 + 20 + 300 + 4000]


def test_a_step_without_a_window_leaves_the_cache(
    runner: Runner, implementation: Implementation
) -> None:
    # 43 tokens, windows of 32 every 16: one ends at token 32, the next at 48.
    tokens = np.ones((43, 1, 16))
    step = Step([tokens], [1], np.ones((32, 1)), 16, 16, np.full((2, 1, 16), 7.0), [])
    assert (run(runner, implementation, step, "float16").values == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_token_by_token_gives_the_windows_of_the_whole(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    rng = np.random.default_rng(1510)
    block, stride, tokens = 6, 4, 19
    text = rounded(rng.standard_normal((tokens, 2, 20)), dtype)
    weight = rounded(rng.standard_normal((block, 2)), dtype)
    cache = np.zeros((window_count(tokens, block, stride), 2, 20))
    for end in range(1, tokens + 1):
        step = Step([text[:end]], [1], weight, stride, 5, cache, [])
        step.slots = [(end - block) // stride] * len(step.ending())
        cache = run(runner, implementation, step, dtype).values if step.slots else cache
    whole = runner.run(
        "nsa_compress",
        implementation,
        {"input": Real.round(text, dtype), "weight": Real.round(weight, dtype)},
        {"act_seq_len": [tokens], "compress_block_size": block, "compress_stride": stride},
    )
    assert np.array_equal(cache, whole.array("output"))


def test_slots_of_64_bits_and_more_threads_change_no_bit(
    runner: Runner, implementation: Implementation
) -> None:
    step = random_step(1511, "bfloat16")
    expected = run(runner, implementation, step, "bfloat16", "--threads", "1")
    assert (
        expected.to_bytes()
        == run(runner, implementation, step, "bfloat16", "--threads", "7").to_bytes()
    )
    wide = runner.run("nsa_compress_infer", implementation, *step.call("bfloat16", "int64"))
    assert expected.to_bytes() == wide.real("cache").to_bytes()

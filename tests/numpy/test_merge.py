"""The merge room against its formulas: attention in pieces, lists merged, positions dealt out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints
from precision import FLT_MIN, Family, assert_close
from runner import Implementation, Runner

Bools = npt.NDArray[np.bool_]


@dataclass
class States:
    """Attention states [parts, T, N]; values of parts that are not `full` mean nothing."""

    outs: Floats
    maxes: Floats
    sums: Floats
    full: Bools


def random_states(rng: np.random.Generator, parts: int, rows: tuple[int, int], dim: int) -> States:
    shape = (parts, *rows)
    maxes = rng.normal(0, 6, shape).astype(np.float32).astype(np.float64)
    sums = rng.uniform(1, 50, shape).astype(np.float32).astype(np.float64)
    full = rng.random(shape) < 0.7
    return States(rng.standard_normal((*shape, dim)), maxes, sums, full)


def run_states(
    runner: Runner,
    implementation: Implementation,
    states: States,
    dtype: RealName,
    out_dtype: str = "input",
) -> tuple[Floats, Floats, Floats]:
    """Out, max and sum; parts that are not full are marked one way or the other, outs are NaN."""
    by_max = np.indices(states.full.shape).sum(axis=0) % 2 == 0
    outs = np.where(states.full[..., None], states.outs, np.nan)
    maxes = np.where(~states.full & by_max, -np.inf, states.maxes)
    sums = np.where(states.full, states.sums, np.where(by_max, np.nan, 0.0))
    tensors: dict[str, Tensor] = {
        "outs": Real.round(outs, dtype),
        "softmax_maxes": maxes.astype(np.float32),
        "softmax_sums": sums.astype(np.float32),
    }
    got = runner.run("merge_attention_states", implementation, tensors, {"out_dtype": out_dtype})
    return got.array("out"), got.floats("softmax_max"), got.floats("softmax_sum")


def check_states(
    states: States,
    got: tuple[Floats, Floats, Floats],
    dtype: RealName,
    out_dtype: str,
    family: Family,
) -> None:
    """One softmax over parts with the logits max + ln(sum), by broadcasting."""
    out, maximum, total = got
    outs = np.where(states.full[..., None], Real.round(states.outs, dtype).values, 0.0)
    sums = np.where(states.full, states.sums, 0.0)
    top = np.where(states.full, states.maxes, -np.inf).max(axis=0, initial=-np.inf)
    some = np.isfinite(top)
    distance = np.where(states.full, states.maxes - np.where(some, top, 0), 0.0)
    weights = sums * np.exp(distance)
    merged = weights.sum(axis=0)
    share = weights / np.where(some, merged, 1.0)
    parts = len(sums)
    # Of a weight: the rounded difference, e^x within 2 ulp, two products; then their sum.
    relative = family.unit * (np.abs(distance) + 6)
    of_sum = (share * relative).sum(axis=0) + family.of_sum(parts, np.ones(1))
    lost = family.underflow * (1 + sums.sum(axis=0)) / np.where(some, merged, 1.0)
    assert np.array_equal(maximum, top)
    assert_close(
        "softmax_sum",
        total,
        merged,
        of_sum * merged + family.underflow * sums.sum(axis=0),
        "float32",
    )
    sizes = np.abs(outs)
    error = ((share * (relative + of_sum))[..., None] * sizes).sum(axis=0)
    error += family.of_sum(parts, (share[..., None] * sizes).sum(axis=0))
    error += (lost + FLT_MIN)[..., None] * sizes.sum(axis=0)
    expected = (share[..., None] * outs).sum(axis=0)
    assert_close("out", out, expected, error, dtype if out_dtype == "input" else out_dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("out_dtype", ["input", "float32"])
def test_states_merge_as_one_softmax_over_parts(
    runner: Runner, implementation: Implementation, dtype: RealName, out_dtype: str
) -> None:
    rng = np.random.default_rng(900)
    for parts, tokens, heads, dim in [(1, 2, 3, 8), (4, 3, 5, 33), (17, 2, 2, 130), (0, 2, 2, 4)]:
        states = random_states(rng, parts, (tokens, heads), dim)
        got = run_states(runner, implementation, states, dtype, out_dtype)
        check_states(states, got, dtype, out_dtype, implementation.family)


def test_attention_split_at_random_is_attention_over_all_keys(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(901)
    keys, dim, parts = 200, 16, 5
    scores = rng.normal(0, 4, keys).astype(np.float32).astype(np.float64)
    values = rng.standard_normal((keys, dim))
    owner = rng.integers(0, parts - 1, keys)  # the last part stays empty
    states = States(
        np.zeros((parts, 1, 1, dim)),
        np.zeros((parts, 1, 1)),
        np.zeros((parts, 1, 1)),
        np.zeros((parts, 1, 1), bool),
    )
    for part in range(parts - 1):
        mine = scores[owner == part]
        e = np.exp(mine - mine.max())
        states.outs[part, 0, 0] = e @ values[owner == part] / e.sum()
        states.maxes[part, 0, 0] = mine.max()
        states.sums[part, 0, 0] = e.sum()
        states.full[part, 0, 0] = True
    out, maximum, total = run_states(runner, implementation, states, "float32")
    e = np.exp(scores - scores.max())
    # Beside the merge's own error: sums and outs were rounded to fp32 when they were stored.
    unit = 2.0**-24
    slack = 8 * np.sqrt(parts) * unit + 2 * unit * (np.ptp(states.maxes) + 8)
    assert maximum[0, 0] == scores.max()
    assert abs(total[0, 0] - e.sum()) <= slack * e.sum()
    sizes = e @ np.abs(values) / e.sum()
    assert np.all(np.abs(out[0, 0] - e @ values / e.sum()) <= slack * np.maximum(sizes, unit))


def merged_list(values: Floats, indices: Ints, count: int) -> tuple[list[int], list[float]]:
    """By a stable sort on one key after the other."""
    value, index = values[indices >= 0], indices[indices >= 0]
    order = np.argsort(index, kind="stable")
    value, index = value[order], index[order]
    order = np.argsort(np.where(np.isnan(value), np.inf, -value), kind="stable")
    value, index = value[order], index[order]
    nan = np.isnan(value)  # behind -inf, which sorted beside them
    value, index = np.r_[value[~nan], value[nan]], np.r_[index[~nan], index[nan]]
    fill = max(0, count - len(value))
    return (
        [*index[:count].tolist(), *[-1] * fill],
        [*value[:count].tolist(), *[-np.inf] * fill],
    )


@pytest.mark.parametrize("seed", range(8))
def test_lists_merge_as_one_sorted_list(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    rng = np.random.default_rng(910 + seed)
    shape = (int(rng.integers(0, 5)), int(rng.integers(1, 4)), int(rng.integers(0, 300)))
    values = rng.choice([-np.inf, -1.5, -0.0, 0.0, 2.0, np.nan, 7.25, np.inf], shape)
    values = np.where(rng.random(shape) < 0.5, rng.standard_normal(shape), values)
    single: npt.NDArray[Any] = values.astype(np.float32)
    indices = rng.integers(-2, 400, shape).astype(np.int32)
    count = int(rng.integers(0, 400))
    got = runner.run(
        "merge_topk",
        implementation,
        {"values": single, "indices": indices},
        {"sparse_count": count},
    )
    for t in range(shape[1]):
        index, value = merged_list(
            single[:, t].reshape(-1).astype(np.float64),
            indices[:, t].reshape(-1).astype(np.int64),
            count,
        )
        assert got.ints("sparse_indices")[t].tolist() == index
        found = got.floats("sparse_values")[t]
        assert np.array_equal(found, np.array(value), equal_nan=True)


DEALS = pytest.mark.parametrize(
    ("world", "interleave", "ranks"),
    [
        (1, 1, 1),
        (3, 1, 1),
        (4, 16, 1),
        (2, 1000, 1),
        (3, 1, 2),
        (5, 16, 3),
        (4, 7, 4),
        (2, 1000, 2),
    ],
)


def deal(cards: int, world: int, interleave: int, ranks: int) -> list[list[int]]:
    """Positions dealt out one by one: what `ranks` neighbours have together, of all neighbours."""
    hands: list[list[int]] = [[] for _ in range(world)]
    for position in range(cards):
        hands[position // interleave % world].append(position)
    return [sorted(chain(*hands[r : r + ranks])) for r in range(world - ranks + 1)]


@DEALS
def test_positions_are_dealt_like_cards(
    runner: Runner, implementation: Implementation, world: int, interleave: int, ranks: int
) -> None:
    """Deals a whole sequence out, then looks every selected position up in the hands."""
    rng = np.random.default_rng(920)
    indices = np.array([rng.permutation(3000)[:70] for _ in range(4)], np.int32)
    indices[1, 40:] = -1
    indices[2, 10] = -3  # what follows is not read
    indices[3, 0] = -1
    for rank, hand in enumerate(deal(3000, world, interleave, ranks)):
        held = {position: place for place, position in enumerate(hand)}
        got = runner.run(
            "localize_indices",
            implementation,
            {"indices": indices},
            {"rank": rank, "world": world, "interleave": interleave, "ranks": ranks},
        )
        for row, found, count in zip(
            indices.tolist(),
            got.ints("sparse_indices").tolist(),
            got.ints("counts").tolist(),
            strict=True,
        ):
            end = next((i for i, position in enumerate(row) if position < 0), len(row))
            expected = [held[position] for position in row[:end] if position in held]
            assert count == len(expected)
            assert found == expected + [-1] * (len(row) - count)


@DEALS
def test_places_in_a_hand_are_positions_of_the_deck(
    runner: Runner, implementation: Implementation, world: int, interleave: int, ranks: int
) -> None:
    rng = np.random.default_rng(930)
    for rank, hand in enumerate(deal(6000, world, interleave, ranks)):
        indices = rng.integers(0, len(hand), (3, 70)).astype(np.int32)
        indices[1] = np.where(rng.random(70) < 0.3, rng.integers(-9, 0, 70), indices[1])
        got = runner.run(
            "globalize_indices",
            implementation,
            {"indices": indices},
            {"rank": rank, "world": world, "interleave": interleave, "ranks": ranks},
        )
        expected = [[hand[place] if place >= 0 else -1 for place in row] for row in indices]
        assert got.ints("sparse_indices").tolist() == expected


def test_no_position_is_at_2_31_or_above(runner: Runner, implementation: Implementation) -> None:
    places = [0, 1, 2**20 - 1, 2**20, 2**30 - 1, 2**30, 2**31 - 1]
    got = runner.run(
        "globalize_indices",
        implementation,
        {"indices": np.array([places], np.int32)},
        {"rank": 3, "world": 2**12, "interleave": 2, "ranks": 2},
    )
    whole = [place // 4 * 2**13 + 6 + place % 4 for place in places]
    assert any(position >= 2**31 for position in whole)
    assert got.ints("sparse_indices").tolist() == [
        [position if position < 2**31 else -1 for position in whole]
    ]

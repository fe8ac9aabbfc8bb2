"""The shadow of index keys against its description, and against what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from case_file import Real, RealName
from formulation import Floats, Ints
from key_shadow import KEYS, Bytes, Singles, dims_of_bytes, encode, shadow_of
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]


def run(runner: Runner, implementation: Implementation, key: Real, layout: str) -> Bytes:
    outputs = runner.run(
        "quantize_index_keys", implementation, {"key": key}, {"layout_key": layout}
    )
    return outputs.array("key_shadow").astype(np.uint8)


def parts(panels: Bytes, dim: int) -> tuple[Ints, Singles]:
    """Integers [n, D] and bounds [3, n] of the keys of panels [panels, bytes]."""
    order = dims_of_bytes(dim)
    size = order.size * KEYS
    stored = panels[:, :size].reshape(len(panels), -1, KEYS, 4).astype(np.int64) - 128
    flat = stored.transpose(0, 2, 1, 3).reshape(len(panels) * KEYS, -1)
    integers = np.zeros((len(flat), order.size), dtype=np.int64)
    integers[:, order.ravel()] = flat
    assert np.all(integers[:, dim:] == 0)
    bounds = panels[:, size:].copy().view("<f4").reshape(len(panels), 3, KEYS)
    return integers[:, :dim], bounds.transpose(1, 0, 2).reshape(3, -1)


def random_keys(
    rng: np.random.Generator, shape: tuple[int, ...], dim: int, dtype: RealName
) -> Real:
    """Keys of many sizes."""
    size = np.exp2(rng.integers(-9, 9, (*shape, 1, 1)))
    return Real.round(rng.standard_normal((*shape, 1, dim)) * size, dtype)


@pytest.mark.parametrize("dim", [1, 63, 64, 128, 130])
@pytest.mark.parametrize("dtype", DTYPES)
def test_panels_are_the_bytes_of_the_description(
    runner: Runner, implementation: Implementation, dtype: RealName, dim: int
) -> None:
    key = random_keys(np.random.default_rng(960 + dim), (2, 41), dim, dtype)
    shadow = run(runner, implementation, key, "BSND")
    for sequence, panels in zip(key.values[:, :, 0], shadow, strict=True):
        integers, bounds = parts(panels, dim)
        want, want_bounds = encode(sequence)
        assert np.array_equal(integers[:41], want)
        assert np.array_equal(bounds[:, :41], want_bounds)
        assert np.all(integers[41:] == 0)
        assert np.all(bounds[:, 41:] == 0)
        scale, error, norm = bounds[:, :41].astype(np.float64)
        taken = scale[:, None] * want
        assert np.all(np.linalg.norm(sequence - taken, axis=1) <= error)
        assert np.all(np.linalg.norm(taken, axis=1) <= norm)


@pytest.mark.parametrize(
    ("layout", "shape"), [("BSND", (3, 17)), ("TND", (50,)), ("PA_BSND", (4, 19))]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_panels_begin_anew_with_each_sequence_or_page(
    runner: Runner,
    implementation: Implementation,
    dtype: RealName,
    layout: str,
    shape: tuple[int, ...],
) -> None:
    key = random_keys(np.random.default_rng(970), shape, 70, dtype)
    assert np.array_equal(run(runner, implementation, key, layout), shadow_of(key.values))


def keys_of_all_kinds(rng: np.random.Generator, dim: int) -> Floats:
    """[n, 1, D]: keys at both ends of what has integers, and beyond, subnormal ones among them."""
    ends = [
        np.nextafter(np.float32(end), np.float32(to))
        for end in (2.0**-100, 2.0**20)
        for to in (0.0, end, np.inf)
    ]
    largest = np.array([0, 2.0**-149, 2.0**-126, *ends, 1e38, np.inf, -np.inf, np.nan])
    # None but the first is larger.
    keys = rng.uniform(-0.75, 0.75, (len(largest), dim))
    keys *= np.where(np.isfinite(largest), largest, 1)[:, None]
    keys[:, 0] = largest
    return keys[:, None]


@pytest.mark.parametrize("dim", [1, 70])
@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_without_integers_are_told_by_their_largest_value(
    runner: Runner, implementation: Implementation, dtype: RealName, dim: int
) -> None:
    key = Real.round(keys_of_all_kinds(np.random.default_rng(980), dim), dtype)
    shadow = run(runner, implementation, key, "TND")
    assert np.array_equal(shadow, shadow_of(key.values))
    _, (scale, error, _) = parts(shadow, dim)
    if dtype == "float32":
        assert np.flatnonzero(scale).tolist() == [4, 5, 6, 7]
        assert np.flatnonzero(np.isinf(error)).tolist() == [8, 9, 10, 11, 12]

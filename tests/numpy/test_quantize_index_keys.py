"""The shadow of index keys against its description, and against what it promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from case_file import Real, RealName
from formulation import Floats
from runner import Implementation, Runner

HALVES: list[RealName] = ["bfloat16", "float16"]
KEYS = 16

Bytes = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]


def dims_of_bytes(dim: int) -> npt.NDArray[np.int64]:
    """The dim of byte [group, byte]; from `dim` on there is none."""
    blocks = np.arange(-(-dim // 64))[:, None, None] * 64
    order: npt.NDArray[np.int64] = blocks + np.arange(16)[None, :, None] + np.array([0, 32, 16, 48])
    return order.reshape(-1, 4)


def encode(keys: Floats) -> tuple[npt.NDArray[np.int64], Singles]:
    """Integers [n, D] and bounds [3, n] of finite keys, in float32."""
    x = keys.astype(np.float32)
    most = np.abs(x).max(axis=1)
    z = np.rint(x * (np.float32(32512) / most)[:, None]).astype(np.int64)
    integers = (z + 128) // 256
    rest = np.sqrt(((z - 256 * integers) ** 2).sum(axis=1).astype(np.float32))
    norm = np.sqrt((integers**2).sum(axis=1).astype(np.float32))
    scale = most / np.float32(127)
    slack = np.float32(1) + np.float32(2**-19)
    root = np.float32(0.51) * np.sqrt(np.float32(keys.shape[1]))
    error = (scale * (rest + root)) * (np.float32(2**-8) * slack)
    return integers, np.stack([scale, error, (scale * norm) * slack])


def parts(panels: Bytes, dim: int) -> tuple[npt.NDArray[np.int64], Singles]:
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


@pytest.mark.parametrize("dim", [1, 63, 64, 128, 130])
@pytest.mark.parametrize("dtype", HALVES)
def test_panels_are_the_bytes_of_the_description(
    runner: Runner, implementation: Implementation, dtype: RealName, dim: int
) -> None:
    rng = np.random.default_rng(960 + dim)
    keys = rng.standard_normal((2, 41, 1, dim)) * np.exp2(rng.integers(-9, 9, (2, 41, 1, 1)))
    half = Real.round(keys, dtype)
    outputs = runner.run("quantize_index_keys", implementation, {"key": half}, {})
    shadow = outputs.array("key_shadow").astype(np.uint8)
    for sequence, panels in zip(half.values[:, :, 0], shadow, strict=True):
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

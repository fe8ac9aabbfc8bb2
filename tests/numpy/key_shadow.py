"""The int8 shadow of index keys, written from its description alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from formulation import Floats, Ints

KEYS = 16  # of a panel

Bytes = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]


def dims_of_bytes(dim: int) -> Ints:
    """The dim of byte [group, byte]; from `dim` on there is none."""
    blocks = np.arange(-(-dim // 64))[:, None, None] * 64
    order: Ints = blocks + np.arange(16)[None, :, None] + np.array([0, 32, 16, 48])
    return order.reshape(-1, 4)


def keys_of_bytes(dim: int) -> Ints:
    """The key that each byte of a panel is of: integers and bounds are 4 bytes a key alike."""
    groups = len(dims_of_bytes(dim))
    return np.tile(np.repeat(np.arange(KEYS), 4), groups + 3)


def encode(keys: Floats) -> tuple[Ints, Singles]:
    """Integers [n, D] and bounds [3, n] of keys, in float32."""
    x = keys.astype(np.float32)
    dim = np.float32(keys.shape[1])
    most = np.abs(x).max(axis=1)
    tiny = most < 2.0**-100
    plain = ~tiny & (most <= 2.0**20)
    m = np.where(plain, most, np.float32(1))
    z = np.rint(np.where(plain[:, None], x, 0) * (np.float32(32512) / m)[:, None]).astype(np.int64)
    integers = (z + 128) // 256
    rest = np.sqrt(((z - 256 * integers) ** 2).sum(axis=1).astype(np.float32))
    norm = np.sqrt((integers**2).sum(axis=1).astype(np.float32))
    scale = np.where(plain, m / np.float32(127), np.float32(0))
    slack = np.float32(1) + np.float32(2**-19)
    root = np.float32(0.51) * np.sqrt(dim)
    error = (scale * (rest + root)) * (np.float32(2**-8) * slack)
    unlike = np.where(tiny, np.float32(2.0**-99) * np.sqrt(dim), np.float32(np.inf))
    return integers, np.stack([scale, np.where(plain, error, unlike), (scale * norm) * slack])


def panels(keys: Floats) -> Bytes:
    """Panels [panels, bytes] of the keys [n, D] of a page, or of a sequence, or of all."""
    count, dim = keys.shape
    order = dims_of_bytes(dim)
    places = -(-count // KEYS) * KEYS
    integers = np.zeros((places, order.size), np.int64)
    bounds = np.zeros((3, places), np.float32)
    integers[:count, :dim], bounds[:, :count] = encode(keys)
    grouped = (integers[:, order] + 128).astype(np.uint8).reshape(-1, KEYS, *order.shape)
    stored = grouped.swapaxes(1, 2).reshape(places // KEYS, order.size * KEYS)
    singles = bounds.reshape(3, -1, KEYS).swapaxes(0, 1).reshape(-1, 3 * KEYS)
    return np.concatenate([stored, np.ascontiguousarray(singles).view(np.uint8)], axis=1)


def shadow_of(keys: Floats) -> Bytes:
    """Of keys as a call holds them: [T2, 1, D], or [B, S2, 1, D] and pages alike."""
    if keys.ndim == 3:
        return panels(keys[:, 0])
    return np.stack([panels(part[:, 0]) for part in keys])

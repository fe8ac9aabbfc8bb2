"""Rows of bytes against their description: encoded by nearest code, decoded by a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from case_file import Real, RealName
from formulation import Floats
from runner import Implementation, Runner

FORMATS = ["cann656", "flashmla656"]
HALVES: list[RealName] = ["bfloat16", "float16"]

Bytes = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]


def fp8_table() -> Floats:
    """The value of every e4m3 code: sign, 4 bits of exponent with bias 7, 3 of mantissa."""
    values = np.zeros(256)
    for code in range(256):
        exponent, mantissa = (code >> 3) & 15, code & 7
        size = mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10)
        values[code] = np.nan if code & 127 == 127 else -size if code & 128 else size
    return values


def nearest_fp8(x: Floats) -> Bytes:
    """Codes of the nearest values, ties to the even code; zeros keep their sign."""
    sizes = fp8_table()[:127]
    distance = np.abs(np.abs(x)[..., None] - sizes)
    tied = distance == distance.min(axis=-1, keepdims=True)
    even = tied & (np.arange(127) % 2 == 0)
    code = np.where(even.any(axis=-1), even.argmax(axis=-1), tied.argmax(axis=-1))
    signed: Bytes = np.where(np.signbit(x), code | 128, code).astype(np.uint8)
    return signed


def encode(latent: Floats, kind: str) -> tuple[Bytes, Singles]:
    """Bytes [R, D] and scales [R, D / 128]."""
    groups = latent.reshape(len(latent), -1, 128).astype(np.float32)
    most = np.abs(groups).max(axis=-1)
    if kind == "cann656":
        scales = np.maximum(most, np.float32(1e-8)) / np.float32(127)
        codes = np.rint(groups / scales[..., None]).astype(np.int8).view(np.uint8)
    else:
        least = np.maximum(most / np.float32(448), np.float32(1e-4)).astype(np.float64)
        scales = np.exp2(np.ceil(np.log2(least))).astype(np.float32)
        codes = nearest_fp8((groups / scales[..., None]).astype(np.float64))
    return codes.reshape(latent.shape), scales


def decode(codes: Bytes, scales: Singles, kind: str, dtype: RealName) -> Floats:
    """The latent: the product in float32, rounded to the type."""
    values = codes.view(np.int8).astype(float) if kind == "cann656" else fp8_table()[codes]
    product = values.astype(np.float32) * np.repeat(scales, 128, axis=1)
    return Real.round(product.astype(np.float64), dtype).values


def join(codes: Bytes, scales: Singles, rope: Real, kind: str) -> Bytes:
    """One row of bytes per key."""
    count = len(codes)
    rope_bytes = np.frombuffer(rope.to_bytes(), np.uint8).reshape(count, -1)
    scale_bytes = scales.astype("<f4").view(np.uint8).reshape(count, -1)
    parts = [codes, rope_bytes, scale_bytes]
    return np.concatenate(parts if kind == "cann656" else [codes, scale_bytes, rope_bytes], axis=1)


def random_latent(rng: np.random.Generator, rows: int, dim: int, dtype: RealName) -> Floats:
    size = np.exp2(rng.integers(-12, 5, (rows, dim // 128)))
    size[0, 0] = 0
    return Real.round(rng.standard_normal((rows, dim)) * np.repeat(size, 128, axis=1), dtype).values


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", HALVES)
def test_packed_rows_are_the_bytes_of_the_description(
    runner: Runner, implementation: Implementation, dtype: RealName, kind: str
) -> None:
    rng = np.random.default_rng(940)
    latent = random_latent(rng, 37, 512, dtype)
    rope = Real.round(rng.standard_normal((37, 64)), dtype)
    codes, scales = encode(latent, kind)
    want = join(codes, scales, rope, kind)
    assert want.shape == (37, 656)
    outputs = runner.run(
        "pack_kv_rows",
        implementation,
        {"latent": Real.round(latent, dtype), "rope": rope},
        {"kv_format": kind},
    )
    got = outputs.array("rows").astype(np.uint8)
    wrong = np.argwhere(got != want)
    assert len(wrong) == 0, f"{len(wrong)} bytes, first at {wrong[0]}"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", HALVES)
def test_unpacked_rows_are_the_values_of_the_description(
    runner: Runner, implementation: Implementation, dtype: RealName, kind: str
) -> None:
    rng = np.random.default_rng(941)
    codes = rng.integers(0, 256, (9, 384)).astype(np.uint8)
    codes[0] = np.arange(384) % 256
    scales = np.exp(rng.normal(-3, 2, (9, 3))).astype(np.float32)
    rope = Real.round(rng.standard_normal((9, 5)), dtype)
    outputs = runner.run(
        "unpack_kv_rows",
        implementation,
        {"rows": join(codes, scales, rope, kind)},
        {"kv_format": kind, "rope_dim": 5, "dtype": dtype},
    )
    assert outputs.real("latent").dtype == outputs.real("rope").dtype == dtype
    want = decode(codes, scales, kind, dtype)
    assert np.array_equal(outputs.array("latent"), want, equal_nan=True)
    assert np.array_equal(outputs.array("rope"), rope.values)

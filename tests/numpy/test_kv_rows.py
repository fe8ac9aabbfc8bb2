"""Rows of bytes against their description: encoded by nearest code, decoded by a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from case_file import Real, RealName
from formulation import Bools, Floats
from runner import Implementation, Runner

FORMATS = ["cann656", "flashmla656", "flashmla584"]
GROUP = {"cann656": 128, "flashmla656": 128, "flashmla584": 64}  # channels of a scale
DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]

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
    """Bytes [R, D] and a scale per group; of a group that is not finite, 0 and NaN."""
    groups = latent.reshape(len(latent), -1, GROUP[kind]).astype(np.float32)
    finite: Bools = np.all(np.isfinite(groups), axis=-1)
    groups = np.where(finite[..., None], groups, np.float32(0))
    most = np.abs(groups).max(axis=-1)
    if kind == "cann656":
        scales = np.maximum(most, np.float32(1e-8)) / np.float32(127)
        codes = np.rint(groups / scales[..., None]).astype(np.int8).view(np.uint8)
    else:
        least = np.maximum(most / np.float32(448), np.float32(1e-4)).astype(np.float64)
        scales = np.exp2(np.ceil(np.log2(least))).astype(np.float32)
        codes = nearest_fp8((groups / scales[..., None]).astype(np.float64))
    codes[~finite] = 0
    return codes.reshape(latent.shape), np.where(finite, scales, np.float32(np.nan))


def decode(codes: Bytes, scales: Singles, kind: str, dtype: RealName) -> Floats:
    """The latent: the product in float32, rounded to the type."""
    values = codes.view(np.int8).astype(float) if kind == "cann656" else fp8_table()[codes]
    with np.errstate(over="ignore"):
        product = values.astype(np.float32) * np.repeat(scales, GROUP[kind], axis=1)
    return Real.round(product.astype(np.float64), dtype).values


def e8m0(scales: Singles) -> Bytes:
    """Codes of powers of two: the exponent plus 127; of NaN, 255."""
    fraction, exponent = np.frexp(scales.astype(np.float64))
    assert np.all((fraction == 0.5) | np.isnan(scales))
    return np.where(np.isnan(scales), 255, exponent - 1 + 127).astype(np.uint8)


def join(codes: Bytes, scales: Singles, rope: Real, kind: str, padding: int = 0) -> Bytes:
    """One row of bytes per key; or a page of them, as many bytes per key."""
    count = len(codes)
    rope_bytes = np.frombuffer(rope.to_bytes(), np.uint8).reshape(count, -1)
    if kind == "flashmla584":
        rows = np.concatenate([codes, rope_bytes], axis=1)
        last = np.pad(e8m0(scales), ((0, 0), (0, 1)), constant_values=padding)
        return np.concatenate([rows.ravel(), last.ravel()]).reshape(count, -1)
    scale_bytes = scales.astype("<f4").view(np.uint8).reshape(count, -1)
    parts = [codes, rope_bytes, scale_bytes]
    return np.concatenate(parts if kind == "cann656" else [codes, scale_bytes, rope_bytes], axis=1)


def stored(rope: Real) -> Real:
    """The rotary part as a row holds it: in 16 bits."""
    return Real.round(rope.values, "bfloat16") if rope.dtype == "float32" else rope


def random_latent(
    rng: np.random.Generator, rows: int, dim: int, dtype: RealName, kind: str
) -> Floats:
    size = np.exp2(rng.integers(-12, 5, (rows, dim // GROUP[kind])))
    size[0, 0] = 0
    size = np.repeat(size, GROUP[kind], axis=1)
    return Real.round(rng.standard_normal((rows, dim)) * size, dtype).values


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_packed_rows_are_the_bytes_of_the_description(
    runner: Runner, implementation: Implementation, dtype: RealName, kind: str
) -> None:
    rng = np.random.default_rng(940)
    latent = random_latent(rng, 37, 448 if kind == "flashmla584" else 512, dtype, kind)
    rope = Real.round(rng.standard_normal((37, 64)), dtype)
    codes, scales = encode(latent, kind)
    want = join(codes, scales, stored(rope), kind)
    assert want.shape == (37, int(kind[-3:]))
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
@pytest.mark.parametrize("dtype", DTYPES)
def test_unpacked_rows_are_the_values_of_the_description(
    runner: Runner, implementation: Implementation, dtype: RealName, kind: str
) -> None:
    rng = np.random.default_rng(941)
    codes = rng.integers(0, 256, (50, 384)).astype(np.uint8)
    codes[0] = np.arange(384) % 256
    if kind == "flashmla584":  # every scale there is, from 2^-127; the last is NaN
        powers = np.append(np.exp2(np.arange(-127, 128.0)), np.nan)
        scales = rng.permutation(np.resize(powers, 300)).reshape(50, 6).astype(np.float32)
    else:
        scales = np.exp(rng.normal(-3, 2, (50, 3))).astype(np.float32)
    rope = stored(Real.round(rng.standard_normal((50, 5)), dtype))
    outputs = runner.run(
        "unpack_kv_rows",
        implementation,
        {"rows": join(codes, scales, rope, kind, padding=0xFF)},
        {"kv_format": kind, "rope_dim": 5, "dtype": dtype},
    )
    assert outputs.real("latent").dtype == outputs.real("rope").dtype == dtype
    want = decode(codes, scales, kind, dtype)
    assert np.array_equal(outputs.array("latent"), want, equal_nan=True)
    assert np.array_equal(outputs.array("rope"), rope.values)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_that_are_not_finite_come_back_as_nan_and_the_others_as_they_were_packed(
    runner: Runner, implementation: Implementation, dtype: RealName, kind: str
) -> None:
    rng = np.random.default_rng(942)
    latent = random_latent(rng, 5, 384, dtype, kind)
    latent[0, 130], latent[2, 383], latent[4, 0] = np.nan, np.inf, -np.inf
    rope = rng.standard_normal((5, 3))
    rope[1] = np.nan
    tensors = {"latent": Real.round(latent, dtype), "rope": Real.round(rope, dtype)}
    packed = runner.run("pack_kv_rows", implementation, tensors, {"kv_format": kind})
    rows = packed.array("rows").astype(np.uint8)
    codes, scales = encode(latent, kind)
    assert np.isnan(scales).sum() == 3
    if kind == "flashmla584":  # NaN has one code there
        assert np.array_equal(rows, join(codes, scales, stored(tensors["rope"]), kind))
    outputs = runner.run(
        "unpack_kv_rows",
        implementation,
        {"rows": rows},
        {"kv_format": kind, "rope_dim": 3, "dtype": dtype},
    )
    want = decode(codes, scales, kind, dtype)
    assert np.array_equal(outputs.array("latent"), want, equal_nan=True)
    assert np.array_equal(outputs.array("rope"), stored(tensors["rope"]).values, equal_nan=True)

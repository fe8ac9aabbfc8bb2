"""mla_prolog and indexer_prolog against their formulas, all tokens at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from approximate import (
    Approx,
    joined,
    layer_norm,
    plus,
    product,
    product_per_head,
    rms_norm,
    rope,
    to_nz,
)
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints
from key_shadow import Bytes, keys_of_bytes, shadow_of
from precision import assert_close
from runner import Implementation, Outputs, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
Format = Literal["ND", "NZ"]

MLA_WEIGHTS = ("w_dq", "w_uq_qr", "w_dkv_kr")
INDEXER_WEIGHTS = ("w_idx_qb", "w_idx_k", "w_idx_proj")


class Draws:
    """Values that a type holds."""

    def __init__(self, seed: int, dtype: RealName) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype

    def __call__(self, *shape: int, scale: float = 1.0) -> Floats:
        return Real.round(self.rng.standard_normal(shape) * scale, self.dtype).values

    def weight(self, rows: int, columns: int) -> Floats:
        return self(rows, columns, scale=rows**-0.5)


def run(
    runner: Runner,
    implementation: Implementation,
    op: str,
    tensors: dict[str, Floats],
    slots: Ints,
    dtype: RealName,
    weight_format: Format,
    tokens_shape: tuple[int, ...],
    attributes: dict[str, object],
    shadow: Bytes | None = None,
) -> Outputs:
    """One call; whatever has a row per token gets the tokens' shape."""
    sent: dict[str, Tensor] = {}
    for name, values in tensors.items():
        if weight_format == "NZ" and name in MLA_WEIGHTS + INDEXER_WEIGHTS:
            values = to_nz(values)
        if name in ("x", "sin", "cos", "query_norm", "query_source"):
            values = values.reshape(*tokens_shape, values.shape[-1])
        sent[name] = Real.round(values, dtype)
    sent["cache_index"] = slots.astype(np.int32).reshape(tokens_shape)
    if shadow is not None:
        sent["index_k_shadow"] = shadow
    return runner.run(op, implementation, sent, {"weight_format": weight_format, **attributes})


def held(epsilon: float) -> float:
    """As float32 holds it, and so both sides."""
    return float(np.float32(epsilon))


def check_rows(name: str, got: Real, expected: Approx) -> None:
    values = got.values.reshape(expected.value.shape)
    assert_close(name, values, expected.value, expected.error, got.dtype)


def check_cache(name: str, got: Real, before: Floats, slots: Ints, rows: Approx) -> None:
    """The last token of a slot has written it; the rest is as before."""
    width = before.shape[-1]
    flat, was = got.values.reshape(-1, width), before.reshape(-1, width)
    writers = {int(slot): token for token, slot in enumerate(slots) if slot >= 0}
    for slot, token in writers.items():
        assert_close(f"{name}[{slot}]", flat[slot], rows.value[token], rows.error[token], got.dtype)
    untouched = np.setdiff1d(np.arange(len(flat)), list(writers))
    assert np.array_equal(flat[untouched], was[untouched])


def random_tokens(rng: np.random.Generator, seed: int) -> tuple[int, ...]:
    """[B, S1] or [T]: few tokens, or more than are taken with the weights straight from memory."""
    if seed % 3 == 0:
        return (2, 19 if seed == 6 else int(rng.integers(1, 5)))
    return (int(rng.integers(2, 9)),)


def random_slots(rng: np.random.Generator, tokens: int, capacity: int) -> Ints:
    slots = rng.integers(-2, capacity, tokens)
    slots[-1] = slots[0]
    return slots


@pytest.mark.parametrize("weight_format", ["ND", "NZ"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(7))
def test_mla_prolog_equals_the_formula(
    runner: Runner,
    implementation: Implementation,
    seed: int,
    dtype: RealName,
    weight_format: Format,
) -> None:
    family, draw = implementation.family, Draws(900 + seed, dtype)
    unit = 16 if weight_format == "NZ" else 1
    hidden, rank, nope, latent = (int(n) * unit for n in draw.rng.integers(1, 96 // unit + 4, 4))
    heads, half = int(draw.rng.integers(1, 5)), int(draw.rng.integers(1, 4)) * max(unit // 2, 3)
    width = 2 * half
    tokens = random_tokens(draw.rng, seed)
    count = int(np.prod(tokens))
    t = {
        "x": draw(count, hidden),
        "w_dq": draw.weight(hidden, rank),
        "w_uq_qr": draw.weight(rank, heads * (nope + width)),
        "w_uk": draw(heads, nope, latent, scale=nope**-0.5),
        "w_dkv_kr": draw.weight(hidden, latent + width),
        "gamma_cq": draw(rank),
        "gamma_ckv": draw(latent),
        "sin": draw(count, width),
        "cos": draw(count, width),
        "kv_cache": draw(3, 5, 1, latent),
        "kr_cache": draw(3, 5, 1, width),
    }
    slots = random_slots(draw.rng, count, 15)
    epsilons = {"epsilon_cq": held(1e-3), "epsilon_ckv": 0.25} if seed % 2 else {}
    got = run(
        runner, implementation, "mla_prolog", t, slots, dtype, weight_format, tokens, {**epsilons}
    )

    x = Approx.exact(t["x"])
    cq = product(x, t["w_dq"], family).rounded(dtype)
    norm = rms_norm(cq, t["gamma_cq"], epsilons.get("epsilon_cq", held(1e-5)), family)
    check_rows("query_norm", got.real("query_norm"), norm)
    q = product(norm.rounded(dtype), t["w_uq_qr"], family).rounded(dtype)
    q = q.reshape(count, heads, nope + width)
    query = product_per_head(q.columns(0, nope), t["w_uk"], family)
    check_rows("query", got.real("query"), query)
    sin, cos = t["sin"], t["cos"]
    rotated = rope(q.columns(nope, nope + width), sin[:, None], cos[:, None], True, family)
    check_rows("query_rope", got.real("query_rope"), rotated)
    kv = product(x, t["w_dkv_kr"], family).rounded(dtype)
    rows = rms_norm(
        kv.columns(0, latent), t["gamma_ckv"], epsilons.get("epsilon_ckv", held(1e-5)), family
    )
    check_cache("kv_cache", got.real("kv_cache"), t["kv_cache"], slots, rows)
    keys = rope(kv.columns(latent, latent + width), sin, cos, True, family)
    check_cache("kr_cache", got.real("kr_cache"), t["kr_cache"], slots, keys)


@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [(3,), (2, 11)])
def test_mla_prolog_of_other_families_equals_the_formula(
    runner: Runner,
    implementation: Implementation,
    tokens: tuple[int, ...],
    dtype: RealName,
    normed: bool,
    source: bool,
) -> None:
    """Biases, rope by halves; queries of a source; rope rows that are normed before they turn."""
    family, draw = implementation.family, Draws(940 + 2 * normed + source, dtype)
    hidden, rank, heads, nope, latent, width = 70, 40, 3, 9, 21, 10
    count = int(np.prod(tokens))
    t = {
        "x": draw(count, hidden),
        "w_uq_qr": draw.weight(rank, heads * (nope + width)),
        "w_uk": draw(heads, nope, latent, scale=nope**-0.5),
        "w_dkv_kr": draw.weight(hidden, latent + width),
        "bias_dkv_kr": draw(latent + width),
        "gamma_ckv": draw(latent),
        "sin": draw(count, width),
        "cos": draw(count, width),
        "kv_cache": draw(3, 9, 1, latent),
        "kr_cache": draw(3, 9, 1, width),
    }
    low = {
        "w_dq": draw.weight(hidden, rank),
        "bias_dq": draw(rank),
        "gamma_cq": draw(rank),
    }
    t |= {"query_source": draw(count, rank)} if source else low
    t |= {"gamma_kr": draw(width)} if normed else {}
    slots = random_slots(draw.rng, count, 27)
    how: dict[str, object] = {"rope_interleaved": False}
    if normed:
        how["epsilon_kr"] = 0.5
    got = run(runner, implementation, "mla_prolog", t, slots, dtype, "ND", tokens, how)

    x, sin, cos = Approx.exact(t["x"]), t["sin"], t["cos"]
    if source:
        assert "query_norm" not in got.tensors
        made = Approx.exact(t["query_source"])
    else:
        cq = plus(product(x, t["w_dq"], family), t["bias_dq"], family).rounded(dtype)
        norm = rms_norm(cq, t["gamma_cq"], held(1e-5), family)
        check_rows("query_norm", got.real("query_norm"), norm)
        made = norm.rounded(dtype)
    q = product(made, t["w_uq_qr"], family).rounded(dtype).reshape(count, heads, nope + width)
    query = product_per_head(q.columns(0, nope), t["w_uk"], family)
    check_rows("query", got.real("query"), query)
    rotated = rope(q.columns(nope, nope + width), sin[:, None], cos[:, None], False, family)
    check_rows("query_rope", got.real("query_rope"), rotated)
    kv = plus(product(x, t["w_dkv_kr"], family), t["bias_dkv_kr"], family).rounded(dtype)
    rows = rms_norm(kv.columns(0, latent), t["gamma_ckv"], held(1e-5), family)
    check_cache("kv_cache", got.real("kv_cache"), t["kv_cache"], slots, rows)
    keys = kv.columns(latent, latent + width)
    if normed:
        keys = rms_norm(keys, t["gamma_kr"], 0.5, family).rounded(dtype)
    keys = rope(keys, sin, cos, False, family)
    check_cache("kr_cache", got.real("kr_cache"), t["kr_cache"], slots, keys)


@pytest.mark.parametrize("weight_format", ["ND", "NZ"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(7))
def test_indexer_prolog_equals_the_formula(
    runner: Runner,
    implementation: Implementation,
    seed: int,
    dtype: RealName,
    weight_format: Format,
) -> None:
    family, draw = implementation.family, Draws(950 + seed, dtype)
    unit = 16 if weight_format == "NZ" else 1
    hidden, rank, dim = (int(n) * unit for n in draw.rng.integers(2, 96 // unit + 4, 3))
    heads = 16 if weight_format == "NZ" else int(draw.rng.integers(1, 7))
    width = 2 * int(draw.rng.integers(1, dim // 2 + 1))
    tokens = random_tokens(draw.rng, seed)
    count = int(np.prod(tokens))
    t = {
        "x": draw(count, hidden),
        "query_norm": draw(count, rank),
        "w_idx_qb": draw.weight(rank, heads * dim),
        "w_idx_k": draw.weight(hidden, dim),
        "w_idx_proj": draw.weight(hidden, heads),
        "in_gamma_k": draw(dim),
        "in_beta_k": draw(dim),
        "sin": draw(count, width),
        "cos": draw(count, width),
        "index_k_cache": draw(3, 5, 1, dim),
    }
    slots = random_slots(draw.rng, count, 15)
    interleaved = seed % 3 != 1
    attributes: dict[str, object] = {} if interleaved else {"rope_interleaved": False}
    last = seed % 2 == 1
    if last:
        attributes["rope_last"] = True
    epsilon = 0.5 if seed == 4 else held(1e-6)
    if seed == 4:
        attributes["epsilon"] = epsilon
    got = run(
        runner, implementation, "indexer_prolog", t, slots, dtype, weight_format, tokens, attributes
    )

    sin, cos = t["sin"], t["cos"]
    q = product(Approx.exact(t["query_norm"]), t["w_idx_qb"], family).rounded(dtype)
    q = q.reshape(count, heads, dim)
    first = dim - width if last else 0

    def turned(heads: Approx, sin: Floats, cos: Floats) -> Approx:
        middle = rope(heads.columns(first, first + width), sin, cos, interleaved, family)
        before, after = heads.columns(0, first), heads.columns(first + width, dim)
        return joined(joined(before, middle), after)

    check_rows("query", got.real("query"), turned(q, sin[:, None], cos[:, None]))
    x = Approx.exact(t["x"])
    keys = product(x, t["w_idx_k"], family)
    keys = layer_norm(keys, t["in_gamma_k"], t["in_beta_k"], epsilon, family).rounded(dtype)
    rows = turned(keys, sin, cos)
    check_cache("index_k_cache", got.real("index_k_cache"), t["index_k_cache"], slots, rows)
    check_rows("weights", got.real("weights"), product(x, t["w_idx_proj"], family))


@pytest.mark.parametrize("dtype", DTYPES)
def test_indexer_prolog_without_what_only_outputs_need(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    draw = Draws(980, dtype)
    t = {
        "x": draw(4, 24),
        "w_idx_k": draw.weight(24, 10),
        "in_gamma_k": draw(10),
        "in_beta_k": draw(10),
        "sin": draw(4, 6),
        "cos": draw(4, 6),
        "index_k_cache": draw(2, 3, 1, 10),
    }
    slots = np.array([5, -1, 0, 2])
    got = run(runner, implementation, "indexer_prolog", t, slots, dtype, "ND", (4,), {})
    assert set(got.tensors) == {"index_k_cache"}
    family = implementation.family
    keys = product(Approx.exact(t["x"]), t["w_idx_k"], family)
    keys = layer_norm(keys, t["in_gamma_k"], t["in_beta_k"], held(1e-6), family).rounded(dtype)
    rotated = rope(keys.columns(0, 6), t["sin"], t["cos"], True, family)
    rows = joined(rotated, keys.columns(6, 10))
    check_cache("index_k_cache", got.real("index_k_cache"), t["index_k_cache"], slots, rows)


@pytest.mark.parametrize("dim", [10, 66])
@pytest.mark.parametrize("dtype", DTYPES)
def test_indexer_prolog_writes_the_bytes_of_new_rows_and_no_others_of_the_shadow(
    runner: Runner, implementation: Implementation, dtype: RealName, dim: int
) -> None:
    draw = Draws(990 + dim, dtype)
    t = {
        "x": draw(9, 24),
        "w_idx_k": draw.weight(24, dim),
        "in_gamma_k": draw(dim),
        "in_beta_k": draw(dim),
        "sin": draw(9, 6),
        "cos": draw(9, 6),
        "index_k_cache": draw(2, 37, 1, dim),
    }
    slots = random_slots(draw.rng, 9, 2 * 37)
    before = draw.rng.integers(0, 256, shadow_of(t["index_k_cache"]).shape).astype(np.uint8)
    got = run(
        runner, implementation, "indexer_prolog", t, slots, dtype, "ND", (9,), {}, shadow=before
    )
    written = np.zeros(2 * 48, bool)
    written[[slot // 37 * 48 + slot % 37 for slot in slots.tolist() if slot >= 0]] = True
    after = shadow_of(got.real("index_k_cache").values)
    mine = written.reshape(2, 3, 16)[..., keys_of_bytes(dim)]
    assert np.array_equal(got.array("index_k_shadow"), np.where(mine, after, before))

"""sparse_attention_pto against its formulas: the layer in float64, rounded where it rounds.

How far an evaluation may be, and what a rounding that falls the other way then changes, is carried
along (`Approx`): results are held to bounds of their own dtype's size. In 16 bits those allow for
more than happens, and the operator's usual tolerance is asked for besides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from approximate import (
    Approx,
    inner,
    joined,
    layer_norm,
    product,
    product_per_head,
    rms_norm,
    rope,
)
from attention_calls import product_accuracy
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints, storage_error, storage_score_error
from precision import Family, assert_close, assert_ranking
from runner import Implementation, Outputs, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
HIDDEN, NORM, HEADS, NOPE, LATENT, ROPE = 48, 32, 4, 8, 16, 8
INDEX_HEADS, INDEX_DIM, PAGE, COUNT = 16, 16, 5, 12
# As float32 holds them, and so both sides.
EPSILON, EPSILON_K = float(np.float32(1e-5)), float(np.float32(1e-6))


@dataclass
class Layer:
    """Weights, caches and new tokens; every array holds values of the type."""

    arrays: dict[str, Floats]
    table: Ints
    lengths: Ints
    slots: Ints
    interleaved: bool
    scale: float
    dtype: RealName
    accuracy: str

    def __getitem__(self, name: str) -> Floats:
        """An array by its argument's name."""
        return self.arrays[name]

    def run(self, runner: Runner, implementation: Implementation) -> Outputs:
        tensors: dict[str, Tensor] = {
            name: Real.round(array, self.dtype) for name, array in self.arrays.items()
        }
        tensors["block_table"] = self.table.astype(np.int32)
        tensors["act_seqs"] = self.lengths.astype(np.int32)
        tensors["cache_index"] = self.slots.astype(np.int64)
        attributes = {
            "sparse_count": COUNT,
            "rope_interleaved": self.interleaved,
            "scale_value": self.scale,
            "accuracy": self.accuracy,
        }
        return runner.run("sparse_attention_pto", implementation, tensors, attributes)

    def project(self, name: str, family: Family) -> Approx:
        """The hidden states times a weight, not rounded."""
        return product(Approx.exact(self["x"]), self[name], family)

    def turn(self, x: Approx, family: Family) -> Approx:
        """Rope on the first channels of index queries or keys, which are of the type."""
        shape = (*self["x"].shape[:2], *[1] * (x.value.ndim - 3), ROPE)
        sin, cos = self["sin"].reshape(shape), self["cos"].reshape(shape)
        turned = rope(x.columns(0, ROPE), sin, cos, self.interleaved, family)
        return joined(turned.rounded(self.dtype), x.columns(ROPE, INDEX_DIM))

    def new_rows(self, family: Family) -> dict[str, Approx]:
        """What the new tokens write, not rounded."""
        projected = self.project("w_dkv_kr", family).rounded(self.dtype)
        latent, rotary = projected.columns(0, LATENT), projected.columns(LATENT, LATENT + ROPE)
        index = self.project("w_idx_k", family)
        index = layer_norm(index, self["in_gamma_k"], self["in_beta_k"], EPSILON_K, family)
        return {
            "kv_cache": rms_norm(latent, self["gamma_ckv"], EPSILON, family),
            "kr_cache": rope(rotary, self["sin"], self["cos"], True, family),
            "index_k_cache": self.turn(index.rounded(self.dtype), family),
        }

    def caches(self, family: Family) -> dict[str, Approx]:
        """The three caches after the call, row by row."""
        after = {}
        for name, new in self.new_rows(family).items():
            rows = new.rounded(self.dtype).reshape(-1, new.value.shape[-1])
            flat = Approx.exact(self[name].reshape(-1, new.value.shape[-1]).copy())
            for token, slot in enumerate(self.slots.ravel()):
                if slot >= 0:
                    flat.value[slot], flat.error[slot] = rows.value[token], rows.error[token]
            flat.deviations = rows.deviations
            after[name] = flat
        return after

    def queries(self, family: Family) -> tuple[Approx, Approx, Approx]:
        """Queries with their rotary part, index queries, weights: [B, S1, heads, ...]."""
        sin, cos = self["sin"][:, :, None], self["cos"][:, :, None]
        shape = self["x"].shape[:2]
        low = self.project("w_dq", family).rounded(self.dtype)
        norm = rms_norm(low, self["gamma_cq"], EPSILON, family).rounded(self.dtype)
        q = product(norm, self["w_uq_qr"], family).rounded(self.dtype)
        q = q.reshape(*shape, HEADS, NOPE + ROPE)
        absorbed = product_per_head(q.columns(0, NOPE), self["w_uk"], family)
        rotary = rope(q.columns(NOPE, NOPE + ROPE), sin, cos, True, family)
        index = product(norm, self["w_idx_qb"], family).rounded(self.dtype)
        index = self.turn(index.reshape(*shape, INDEX_HEADS, INDEX_DIM), family)
        weights = self.project("w_idx_proj", family).rounded(self.dtype)
        return joined(absorbed, rotary).rounded(self.dtype), index, weights


def random_layer(seed: int, dtype: RealName, lengths: list[int], tokens: int) -> Layer:
    rng = np.random.default_rng(seed)
    batch, width = len(lengths), max(-(-n // PAGE) for n in lengths) + 1
    pages = rng.permutation(batch * width)
    table = pages.reshape(batch, width)
    positions = np.array(lengths)[:, None] - tokens + np.arange(tokens)
    slots = np.where(
        positions < 0,
        -1,
        np.take_along_axis(table, np.maximum(positions, 0) // PAGE, axis=1) * PAGE
        + positions % PAGE,
    )

    def normal(*shape: int, terms: int = 1) -> Floats:
        return Real.round(rng.standard_normal(shape) / np.sqrt(terms), dtype).values

    arrays = {
        "x": normal(batch, tokens, HIDDEN),
        "w_dq": normal(HIDDEN, NORM, terms=HIDDEN),
        "w_uq_qr": normal(NORM, HEADS * (NOPE + ROPE), terms=NORM),
        "w_uk": normal(HEADS, NOPE, LATENT, terms=NOPE),
        "w_dkv_kr": normal(HIDDEN, LATENT + ROPE, terms=HIDDEN),
        "gamma_cq": normal(NORM),
        "gamma_ckv": normal(LATENT),
        "sin": normal(batch, tokens, ROPE),
        "cos": normal(batch, tokens, ROPE),
        "kv_cache": normal(batch * width, PAGE, 1, LATENT),
        "kr_cache": normal(batch * width, PAGE, 1, ROPE),
        "w_idx_qb": normal(NORM, INDEX_HEADS * INDEX_DIM, terms=NORM),
        "w_idx_k": normal(HIDDEN, INDEX_DIM, terms=HIDDEN),
        "w_idx_proj": normal(HIDDEN, INDEX_HEADS, terms=HIDDEN),
        "in_gamma_k": normal(INDEX_DIM),
        "in_beta_k": normal(INDEX_DIM),
        "index_k_cache": normal(batch * width, PAGE, 1, INDEX_DIM),
    }
    accuracy = ("storage", "storage", "fp32_scores", "fp32")[seed % 4]
    interleaved = bool(seed % 2)
    return Layer(arrays, table, np.array(lengths), slots, interleaved, 0.25, dtype, accuracy)


def index_scores(index: Approx, weights: Approx, keys: Approx, family: Family) -> Approx:
    """Of one token over keys [n, D]."""
    dots = inner(index, keys, family)
    heads = dots.like(np.maximum(dots.value, 0).T, dots.error.T)
    return inner(weights.reshape(1, -1), heads, family).reshape(-1)


def attend(layer: Layer, query: Approx, key: Approx, family: Family) -> Approx:
    """Attention of one token to keys [n, latent and rope], whose latents are the values."""
    value, count = key.columns(0, LATENT), len(key.value)
    dots = inner(query, key, family)
    logits = layer.scale * dots.value
    size = layer.scale * (np.abs(query.value) @ np.abs(key.value).T).max(axis=1, keepdims=True)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    out = p @ value.value
    # Logits err by the dot product, the scale, their own rounding, and that of their difference.
    moved = layer.scale * dots.error + 4 * family.unit * size
    accuracy = product_accuracy(layer.dtype, layer.accuracy)
    if accuracy == "storage":
        moved = moved + storage_score_error(query.value, key.value, layer.scale)
    # Weights p e^d over their sum move the mean by the sum of p (e^d - 1) (value - mean), over it.
    away = np.abs(value.value[None] - out[:, None])
    error = np.einsum("hj,hjc->hc", p * np.expm1(moved), away)
    error = error * np.exp(moved.max(axis=1, keepdims=True))
    # Then what evaluating e^x, both sums and the rescaling rounds.
    terms = 2 * family.of_sum(count + 16, np.ones(1)) * (p @ np.abs(value.value))
    error = error + terms + p @ value.error + family.underflow * count
    if accuracy != "fp32":
        error = error + storage_error(p, value.value, 128)[:, None]
    return query.like(out, error)


def of_token(x: Approx, b: int, s: int) -> Approx:
    return x.like(x.value[b, s], x.error[b, s])


def of_rows(x: Approx, rows: Ints) -> Approx:
    return x.like(x.value[rows], x.error[rows])


def assert_usual(what: str, got: Floats, expected: Floats) -> None:
    """The operator's tolerance in 16 bits: 0.03 relative plus 1e-4, but for one in a thousand."""
    missed = np.abs(got - expected) > 1e-4 + 0.03 * np.abs(expected)
    assert np.mean(missed) <= 1e-3, f"{what}: {np.sum(missed)} of {missed.size} differ"


def check_tokens(layer: Layer, out: Outputs, family: Family) -> None:
    """Selection by the scores, attention given the selection."""
    tokens, caches = layer["x"].shape[1], layer.caches(family)
    keys = joined(caches["kv_cache"], caches["kr_cache"])
    query, index, weights = layer.queries(family)
    selected, attention = out.ints("sparse_indices"), out.real("out")
    for b, s in np.ndindex(len(layer.lengths), tokens):
        visible = max(int(layer.lengths[b]) - (tokens - 1 - s), 0)
        position = np.arange(visible)
        flat = layer.table[b][position // PAGE] * PAGE + position % PAGE
        scores = index_scores(
            of_token(index, b, s),
            of_token(weights, b, s),
            of_rows(caches["index_k_cache"], flat),
            family,
        )
        chosen = selected[b, s, 0]
        assert_ranking(f"sparse_indices[{b}, {s}]", chosen, scores.value, scores.error)
        rows = flat[chosen[: min(COUNT, visible)]]
        if len(rows) == 0:
            assert np.all(attention.values[b, s] == 0)
            continue
        want = attend(layer, of_token(query, b, s), of_rows(keys, rows), family)
        got = attention.values[b, s]
        assert_close(f"out[{b}, {s}]", got, want.value, want.error, attention.dtype)
        if layer.dtype != "float32":
            assert_usual(f"out[{b}, {s}]", got, want.value)


def check_caches(layer: Layer, out: Outputs, family: Family) -> None:
    """The last token of a row has written it; the rest is as before."""
    for name, new in layer.new_rows(family).items():
        width = new.value.shape[-1]
        rows, got = new.reshape(-1, width), out.real(name).values.reshape(-1, width)
        writers = {int(slot): token for token, slot in enumerate(layer.slots.ravel()) if slot >= 0}
        for slot, token in writers.items():
            want, error = rows.value[token], rows.error[token]
            assert_close(f"{name}[{slot}]", got[slot], want, error, layer.dtype)
        untouched = np.setdiff1d(np.arange(len(got)), list(writers))
        assert np.array_equal(got[untouched], layer[name].reshape(-1, width)[untouched]), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(4))
def test_follows_the_formulas(
    runner: Runner, implementation: Implementation, seed: int, dtype: RealName
) -> None:
    tokens = 1 + seed % 3
    layer = random_layer(seed, dtype, [3, 40, 17 + seed], tokens)
    out = layer.run(runner, implementation)
    check_caches(layer, out, implementation.family)
    check_tokens(layer, out, implementation.family)


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_new_tokens_than_positions(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    layer = random_layer(9, dtype, [2, 0], 4)
    out = layer.run(runner, implementation)
    check_tokens(layer, out, implementation.family)

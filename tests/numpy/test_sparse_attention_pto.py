"""sparse_attention_pto against its formulas: the layer in float64, rounded where it rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from case_file import Real, Tensor
from formulation import Floats, Ints
from precision import assert_ranking
from runner import Implementation, Outputs, Runner

HIDDEN, NORM, HEADS, NOPE, LATENT, ROPE = 48, 32, 4, 8, 16, 8
INDEX_HEADS, INDEX_DIM, PAGE, COUNT = 16, 16, 5, 12


def bf16(values: Floats) -> Floats:
    """Rounded to the type, as a value."""
    return Real.round(values, "bfloat16").values


def rms_norm(x: Floats, gamma: Floats, epsilon: float) -> Floats:
    scale: Floats = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon)
    return x * scale * gamma


def layer_norm(x: Floats, gamma: Floats, beta: Floats, epsilon: float) -> Floats:
    centred: Floats = x - x.mean(axis=-1, keepdims=True)
    scale: Floats = 1 / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + epsilon)
    return centred * scale * gamma + beta


def rope(x: Floats, sin: Floats, cos: Floats, interleaved: bool) -> Floats:
    """[..., width] with sin and cos that broadcast; a rotation by halves."""
    if interleaved:
        x = np.concatenate([x[..., 0::2], x[..., 1::2]], axis=-1)
    half = x.shape[-1] // 2
    turned = np.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos + turned * sin


@dataclass
class Layer:
    """Weights, caches and new tokens; every array holds values of bfloat16."""

    arrays: dict[str, Floats]
    table: Ints
    lengths: Ints
    slots: Ints
    interleaved: bool
    scale: float

    def __getitem__(self, name: str) -> Floats:
        """An array by its argument's name."""
        return self.arrays[name]

    def run(self, runner: Runner, implementation: Implementation) -> Outputs:
        tensors: dict[str, Tensor] = {
            name: Real.round(array, "bfloat16") for name, array in self.arrays.items()
        }
        tensors["block_table"] = self.table.astype(np.int32)
        tensors["act_seqs"] = self.lengths.astype(np.int32)
        tensors["cache_index"] = self.slots.astype(np.int64)
        attributes = {
            "sparse_count": COUNT,
            "rope_interleaved": self.interleaved,
            "scale_value": self.scale,
        }
        return runner.run("sparse_attention_pto", implementation, tensors, attributes)

    def caches(self) -> dict[str, Floats]:
        """The three caches after the call."""
        sin, cos = self["sin"], self["cos"]
        projected = bf16(self["x"] @ self["w_dkv_kr"])
        index = bf16(
            layer_norm(self["x"] @ self["w_idx_k"], self["in_gamma_k"], self["in_beta_k"], 1e-6)
        )
        turned = bf16(rope(index[..., :ROPE], sin, cos, self.interleaved))
        rows = {
            "kv_cache": bf16(rms_norm(projected[..., :LATENT], self["gamma_ckv"], 1e-5)),
            "kr_cache": bf16(rope(projected[..., LATENT:], sin, cos, True)),
            "index_k_cache": np.concatenate([turned, index[..., ROPE:]], axis=-1),
        }
        after = {}
        for name, new in rows.items():
            flat = self[name].reshape(-1, new.shape[-1]).copy()
            for slot, row in zip(self.slots.ravel(), new.reshape(-1, new.shape[-1]), strict=True):
                if slot >= 0:
                    flat[slot] = row
            after[name] = flat
        return after

    def queries(self) -> tuple[Floats, Floats, Floats, Floats]:
        """query, query_rope, index query, weights: [B, S1, heads, ...]."""
        sin, cos = self["sin"][:, :, None], self["cos"][:, :, None]
        shape = self["x"].shape[:2]
        norm = bf16(rms_norm(bf16(self["x"] @ self["w_dq"]), self["gamma_cq"], 1e-5))
        q = bf16(norm @ self["w_uq_qr"]).reshape(*shape, HEADS, NOPE + ROPE)
        query = bf16(np.einsum("bshd,hdl->bshl", q[..., :NOPE], self["w_uk"]))
        query_rope = bf16(rope(q[..., NOPE:], sin, cos, True))
        index = bf16(norm @ self["w_idx_qb"]).reshape(*shape, INDEX_HEADS, INDEX_DIM)
        turned = bf16(rope(index[..., :ROPE], sin, cos, self.interleaved))
        index = np.concatenate([turned, index[..., ROPE:]], axis=-1)
        return query, query_rope, index, bf16(self["x"] @ self["w_idx_proj"])


def random_layer(seed: int, lengths: list[int], tokens: int) -> Layer:
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
        return bf16(rng.standard_normal(shape) / np.sqrt(terms))

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
    return Layer(arrays, table, np.array(lengths), slots, bool(seed % 2), 0.25)


def assert_family(what: str, got: Floats, expected: Floats) -> None:
    """The operator's tolerance: 0.03 relative plus 1e-4 for all but one element in a thousand."""
    missed = np.abs(got - expected) > 1e-4 + 0.03 * np.abs(expected)
    assert np.mean(missed) <= 1e-3, f"{what}: {np.sum(missed)} of {missed.size} differ"


def check_token(layer: Layer, out: Outputs, caches: dict[str, Floats], b: int, s: int) -> None:
    """Selection by the scores, attention given the selection."""
    tokens = layer["x"].shape[1]
    visible = max(int(layer.lengths[b]) - (tokens - 1 - s), 0)
    position = np.arange(visible)
    flat = layer.table[b][position // PAGE] * PAGE + position % PAGE
    query, query_rope, index, weights = (array[b, s] for array in layer.queries())
    keys = caches["index_k_cache"][flat]
    scores = weights @ np.maximum(index @ keys.T, 0)
    chosen = out.ints("sparse_indices")[b, s, 0]
    # Every factor of a term may have been rounded the other way: 8 standard deviations of that.
    terms = weights[:, None, None] * index[:, None] * keys
    error = 8 * np.sqrt(3 * np.sum(terms**2, axis=(0, 2))) * 2.0**-9
    assert_ranking("sparse_indices", chosen, scores, error)
    count = min(COUNT, visible)
    if count == 0:
        assert np.all(out.real("out").values[b, s] == 0)
        return
    rows = flat[chosen[:count]]
    latent = caches["kv_cache"][rows]
    logits = layer.scale * (query @ latent.T + query_rope @ caches["kr_cache"][rows].T)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    assert_family("out", out.real("out").values[b, s], p @ latent)


@pytest.mark.parametrize("seed", range(4))
def test_follows_the_formulas(runner: Runner, implementation: Implementation, seed: int) -> None:
    tokens = 1 + seed % 3
    layer = random_layer(seed, [3, 40, 17 + seed], tokens)
    out = layer.run(runner, implementation)
    caches = layer.caches()
    for name, expected in caches.items():
        got = out.real(name).values.reshape(expected.shape)
        written = np.zeros(len(expected), dtype=bool)
        written[layer.slots[layer.slots >= 0]] = True
        assert np.array_equal(got[~written], expected[~written]), name
        assert_family(name, got[written], expected[written])
    for b in range(len(layer.lengths)):
        for s in range(tokens):
            check_token(layer, out, caches, b, s)


def test_more_new_tokens_than_positions(runner: Runner, implementation: Implementation) -> None:
    layer = random_layer(9, [2, 0], 4)
    out = layer.run(runner, implementation)
    caches = layer.caches()
    for b in range(2):
        for s in range(4):
            check_token(layer, out, caches, b, s)

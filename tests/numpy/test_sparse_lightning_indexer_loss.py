"""The indexer's loss over lists against its formulas: each token over the keys that it names."""

from __future__ import annotations

import numpy as np
import pytest
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints
from precision import Family, assert_close
from runner import Implementation, Runner
from test_dense_lightning_indexer import (
    DTYPES,
    Distances,
    Estimates,
    Sequence,
    between,
    exponentials,
    gradients,
    index_scores,
    main_distribution,
)


def quotient(x: Estimates, y: Estimates, family: Family) -> Estimates:
    """The quotient, with its error."""
    value = x[0] / y[0]
    return value, (x[1] + value * y[1]) / (y[0] - y[1]) + 2 * family.unit * value


def total(x: Estimates, family: Family) -> Estimates:
    """The sum of a row."""
    value = x[0].sum(axis=1, keepdims=True)
    return value, x[1].sum(axis=1, keepdims=True) + family.of_sum(x[0].shape[1], value)


def distances(s: Sequence, scale: float, family: Family, *, sinks: bool) -> Distances:
    """Between both distributions of a token over its list."""
    index = index_scores(s, family)
    scores, error = index[1]
    one = np.ones((1, 1))
    found = exponentials(scores, error, scores.max(axis=1, keepdims=True), one, family)
    target = main_distribution(s, scale, family)
    if sinks:
        target = quotient(target, total(target, family), family)
    return between(s, index, target, quotient(found, total(found, family), family), family)


def listed(ids: Ints, end: int) -> Ints:
    """The positions of a token that sees `end` keys."""
    ids = ids[: min(len(ids), end)]
    negative = np.flatnonzero(ids < 0)
    ids = ids[: negative[0]] if len(negative) else ids
    return ids[ids < end]


@pytest.mark.parametrize("seed", range(9))
def test_the_loss_equals_the_formula_over_random_lists(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    rng = np.random.default_rng(1400 + seed)
    dtype: RealName = DTYPES[seed % 3]
    q, n, slots = int(rng.integers(1, 20)), int(rng.integers(1, 90)), int(rng.integers(1, 100))
    heads, index_heads, mode = int(rng.integers(1, 9)), int(rng.integers(1, 7)), int(seed % 2) * 3
    dim, rope, index_dim = (int(x) for x in rng.integers(1, 40, 3))
    scale, sinks = float(np.float32(rng.uniform(0.05, 0.3))), seed % 4 < 2

    def normal(*shape: int, size: float = 1) -> Floats:
        return Real.round(size * rng.standard_normal(shape), dtype).values

    query, key = normal(q, heads, dim + rope), normal(n, 1, dim + rope)
    query_index, key_index = normal(q, index_heads, index_dim), normal(n, index_dim)
    weights = normal(q, index_heads, size=2 / np.sqrt(index_dim))
    factors = rng.choice([0, 0.5, 1, 3], q)
    ids = rng.integers(0, n + 2, (q, slots))
    ids[rng.random(ids.shape) < 0.02] = -7
    top = rng.normal(2, 0.3, (q, heads)).astype(np.float32)
    exponents = rng.uniform(5, 20, (q, heads)).astype(np.float32)
    tensors: dict[str, Tensor] = {
        "query": Real.round(query[..., :dim], dtype),
        "key": Real.round(key[..., :dim], dtype),
        "query_rope": Real.round(query[..., dim:], dtype),
        "key_rope": Real.round(key[..., dim:], dtype),
        "query_index": Real.round(query_index, dtype),
        "key_index": Real.round(key_index[:, None], dtype),
        "weights": Real.round(weights, dtype),
        "sparse_indices": ids[:, None].astype(np.int32),
        "softmax_max": top,
        "softmax_sum": exponents,
        "row_scale": factors.astype(np.float32),
        "actual_seq_lengths_query": np.array([q], np.int32),
        "actual_seq_lengths_key": np.array([n], np.int64),
    }
    if sinks:
        tensors["sinks"] = np.zeros(heads, np.float32)
    outputs = runner.run(
        "sparse_lightning_indexer_grad_kl_loss",
        implementation,
        tensors,
        {"scale_value": scale, "layout": "TND", "sparse_mode": mode, "return_row_loss": True},
    )
    names = ("query_index_grad", "weights_grad", "row_loss")
    got = {name: outputs.real(name).values for name in names}
    family = implementation.family
    keys, size, keys_error = (np.zeros((n, index_dim)) for _ in range(3))
    loss, loss_error = 0.0, 0.0
    for t in range(q):
        seen = listed(ids[t], n if mode == 0 else int(np.clip(n - q + t + 1, 0, n)))
        if len(seen) == 0 or factors[t] == 0:
            assert all(np.all(got[name][t] == 0) for name in names)
            continue
        row = slice(t, t + 1)
        s = Sequence(
            query[row], key[seen], query_index[row], key_index[seen], weights[row], factors[row], 0
        )
        s.statistics = {
            "softmax_max": top[row].astype(np.float64),
            "softmax_sum": exponents[row].astype(np.float64),
        }
        d = distances(s, scale, family, sinks=sinks)
        expected = gradients(s, d, family)
        for name in names[:2]:
            assert_close(f"{name}[{t}]", got[name][row], *expected[name], dtype)
        assert_close(f"row_loss[{t}]", got["row_loss"][row], *d.losses, "float32")
        values, error = expected["key_index_grad"]
        np.add.at(keys, seen, values)
        np.add.at(keys_error, seen, error)
        terms = np.abs(d.slope[0])[:, None] * np.abs(weights[row])[:, :, None]
        terms = np.where(d.products[0] > 0, terms, 0)
        np.add.at(size, seen, np.einsum("tgj,tgd->jd", terms, np.abs(query_index[row])))
        loss += float(d.losses[0].sum())
        loss_error += float(d.losses[1].sum())
    keys_error += family.of_sum(q * slots * index_heads + 1, size)
    found = outputs.real("key_index_grad").values[:, 0]
    assert_close("key_index_grad", found, keys, keys_error, dtype)
    assert_close(
        "loss", outputs.floats("loss"), np.array([loss]), np.array([loss_error]), "float32"
    )

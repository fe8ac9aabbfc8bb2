"""The gradient of the indexer's scores: each key has what its slots are given."""

from __future__ import annotations

import numpy as np
import pytest
from case_file import Real, RealName, Tensor
from formulation import Floats
from precision import assert_close
from runner import Implementation, Runner
from test_dense_lightning_indexer import DTYPES, Distances, Sequence, gradients, index_scores
from test_sparse_lightning_indexer_loss import listed


@pytest.mark.parametrize("seed", range(9))
def test_gradients_equal_the_formula_over_random_lists(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    rng = np.random.default_rng(1500 + seed)
    dtype: RealName = DTYPES[seed % 3]
    given: RealName = DTYPES[(seed // 3) % 3]  # of the gradient that comes in
    q, n, slots = int(rng.integers(1, 20)), int(rng.integers(1, 90)), int(rng.integers(1, 100))
    heads, dim, mode = int(rng.integers(1, 9)), int(rng.integers(1, 40)), int(seed % 2) * 3

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    query, key, weights = normal(q, heads, dim), normal(n, dim), normal(q, heads)
    ids = rng.integers(0, n + 2, (q, slots))
    ids[rng.random(ids.shape) < 0.02] = -7
    grads = Real.round(rng.standard_normal((q, slots)), given).values
    slope, size = np.zeros((q, n)), np.zeros((q, n))
    counted = np.zeros((q, slots), bool)
    for t in range(q):
        end = n if mode == 0 else int(np.clip(n - q + t + 1, 0, n))
        lead = ids[t, : min(slots, end)]
        stop = np.flatnonzero(lead < 0)
        lead = lead[: stop[0]] if len(stop) else lead
        counted[t, : len(lead)] = lead < end
        seen = listed(ids[t], end)
        np.add.at(slope[t], seen, grads[t, counted[t]])
        np.add.at(size[t], seen, np.abs(grads[t, counted[t]]))
    tensors: dict[str, Tensor] = {
        "query": Real.round(query, dtype),
        "key": Real.round(key[:, None], dtype),
        "sparse_values_grad": Real.round(np.where(counted, grads, np.nan)[:, None], given),
        "sparse_indices": ids[:, None].astype(np.int32),
        "weights": Real.round(weights, dtype),
        "actual_seq_lengths_query": np.array([q], np.int32),
        "actual_seq_lengths_key": np.array([n], np.int64),
    }
    outputs = runner.run(
        "lightning_indexer_grad",
        implementation,
        tensors,
        {"layout_query": "TND", "layout_key": "TND", "sparse_mode": mode},
    )
    family = implementation.family
    s = Sequence(query, key, query, key, weights, np.ones(q), mode)
    products, scores = index_scores(s, family)
    found = slope, family.of_sum(slots, size)
    expected = gradients(s, Distances(products, scores, found, found, found, found), family)
    for name in ("query", "key", "weights"):
        got = outputs.real(f"{name}_grad").values
        value, error = expected["weights_grad" if name == "weights" else f"{name}_index_grad"]
        assert_close(f"{name}_grad", got.reshape(value.shape), value, error, dtype)

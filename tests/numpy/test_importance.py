"""The double sum over compressed tokens: the table, the band, the shift, and where mass goes."""

from __future__ import annotations

import numpy as np
import pytest
from formulation import Blocks, Floats, Importance, importance

ONE_TO_NINE = np.arange(1.0, 10.0)

# (l, d, l'), then the scores of P = 1, 2, ..., 9 with the device's shift and with true overlap.
TABLE = [
    (Blocks(32, 16, 64), [24, 56, 9], [16, 48, 26]),
    (Blocks(64, 16, 64), [33, 96, 50], [20, 80, 80]),
    (Blocks(16, 16, 64), [14, 30, 0], [10, 26, 9]),
    (Blocks(32, 16, 32), [8, 16, 24, 32, 9], [4, 12, 20, 28, 26]),
    (Blocks(16, 16, 16), [2, 3, 4, 5, 6, 7, 8, 9, 0], [1, 2, 3, 4, 5, 6, 7, 8, 9]),
]


def band(p: Floats, blocks: Blocks, count: int) -> Floats:
    """The same scores as one weighted sum per block, with the device's shift."""
    m, n = blocks.select // blocks.stride, blocks.compress // blocks.stride
    scores = np.zeros(count)
    for j in range(count):
        for i in range(m + n - 1):
            if 0 <= m * (j + 1) - i < len(p):
                scores[j] += min(i + 1, m, n, m + n - 1 - i) * p[m * (j + 1) - i]
    return scores


@pytest.mark.parametrize(("blocks", "cann", "overlap"), TABLE)
def test_scores_of_one_to_nine(blocks: Blocks, cann: list[int], overlap: list[int]) -> None:
    assert blocks.training_count(9) == blocks.infer_count(9) == len(cann)
    assert importance(ONE_TO_NINE, blocks, len(cann)).tolist() == cann
    assert importance(ONE_TO_NINE, blocks, len(cann), "exact_overlap").tolist() == overlap


@pytest.mark.parametrize("m", range(1, 9))
@pytest.mark.parametrize("n", range(1, 9))
def test_band_equals_double_sum(m: int, n: int) -> None:
    blocks = Blocks(compress=n, stride=1, select=m)
    for keys in range(40):
        p = np.random.default_rng(keys).random(keys)
        count = blocks.training_count(keys)
        assert np.allclose(band(p, blocks, count), importance(p, blocks, count), rtol=1e-14)


def test_seven_keys_by_hand() -> None:
    p = np.random.default_rng(7).random(7)
    blocks = Blocks(32, 16, 64)
    assert blocks.training_count(7) == blocks.infer_count(7) == 2
    first = p[0] + 2 * p[1] + 2 * p[2] + 2 * p[3] + p[4]
    assert np.allclose(importance(p, blocks, 2), [first, p[4] + 2 * p[5] + 2 * p[6]], rtol=1e-14)


@pytest.mark.parametrize(("n", "training", "infer"), [(4, 1, 2), (8, 2, 3), (3, 1, 1), (7, 2, 2)])
def test_decoding_counts_the_block_that_the_last_window_spills_into(
    n: int, training: int, infer: int
) -> None:
    blocks = Blocks(32, 16, 64)
    assert (blocks.training_count(n), blocks.infer_count(n)) == (training, infer)


def test_true_overlap_counts_shared_strides() -> None:
    blocks = Blocks(compress=32, stride=16, select=64)
    for x in range(12):
        p = np.eye(12)[x]
        for j, score in enumerate(importance(p, blocks, 3, "exact_overlap")):
            begin, end = max(16 * x, 64 * j), min(16 * x + 32, 64 * j + 64)
            assert score == max(end - begin, 0) / 16


def test_mass_where_windows_do_not_overlap_is_all_but_the_first_token() -> None:
    p = np.random.default_rng(11).random(23)
    blocks = Blocks(compress=16, stride=16, select=64)
    scores = importance(p, blocks, blocks.training_count(23))
    assert np.isclose(scores.sum(), p[1:].sum(), rtol=1e-14)


@pytest.mark.parametrize("kind", ["cann", "exact_overlap"])
def test_scores_are_linear_with_the_weights_of_single_tokens(kind: Importance) -> None:
    p = np.random.default_rng(12).random(30)
    blocks = Blocks(compress=48, stride=16, select=64)
    count = blocks.training_count(30)
    weights = np.array([importance(unit, blocks, count, kind) for unit in np.eye(30)])
    assert np.allclose(importance(p, blocks, count, kind), p @ weights, rtol=1e-14)

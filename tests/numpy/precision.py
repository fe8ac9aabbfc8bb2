"""How far a result may be from the formulation: bounds derived from types, never loose numbers.

Two families: `reference` evaluates in float64, `fp32` (every CPU level) in float32; both round
their outputs once. A sum of k rounded terms errs by at most 8 sqrt(k) u times the sum of absolute
values, except with a probability below 1e-12 (Higham and Mary 2019, errors of mean zero).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from case_file import Real
from formulation import Floats, Ints, Row

FLT_MIN = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Family:
    """Unit roundoff of the evaluation, and what e^x may lose to underflow."""

    unit: float
    underflow: float

    def of_sum(self, terms: float, magnitude: Floats) -> Floats:
        """Error of a sum of `terms` rounded products."""
        return magnitude * float(8 * np.sqrt(terms) * self.unit)

    def of_score(self, row: Row) -> Floats:
        """Error of a score x, per head: the dot product, the scale, and rounding x."""
        return self.of_sum(row.qk_dim, row.score_magnitude) + 2 * self.unit * row.score_magnitude

    def of_probability(self, row: Row) -> Floats:
        """Relative error of P: two scores and their difference, e^x, the sum and its rescaling."""
        difference = 2 * self.unit * row.score_magnitude
        return 2 * self.of_score(row) + difference + self.of_sum(row.n + 16, np.ones(len(row.out)))

    def of_importance(self, row: Row) -> float:
        """Relative error of a block's importance."""
        relative = self.of_probability(row)
        if row.whole_magnitude is not None:  # the statistics are given, and exact
            difference = 2 * self.unit * (row.score_magnitude + row.whole_magnitude)
            relative = self.of_score(row) + difference + self.of_sum(16, np.ones(len(row.out)))
        return float(relative.max() + self.of_sum(row.band, np.ones(1))[0])


REFERENCE = Family(unit=2.0**-53, underflow=0.0)
FP32 = Family(unit=2.0**-24, underflow=FLT_MIN)

_MANTISSA = {"float16": (11, -14), "bfloat16": (8, -126), "float32": (24, -126)}


def rounding(dtype: str, values: Floats) -> Floats:
    """Real a unit in the last place of a type at each value, subnormals included."""
    digits, least = _MANTISSA[dtype]
    exponent = np.floor(np.log2(np.maximum(np.abs(values), 2.0**least)))
    return np.asarray(2.0 ** (exponent - digits))


def assert_close(what: str, got: Floats, expected: Floats, error: Floats, dtype: str) -> None:
    """Within the evaluation's error, and one rounding to the type."""
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    assert np.array_equal(got[~finite], expected[~finite], equal_nan=True), what
    reach = error + rounding(dtype, np.abs(expected) + error)
    wrong = finite & ~(np.abs(got - np.where(finite, expected, 0)) <= reach)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what}{list(at)}: {got[at]:.9g}, expected {expected[at]:.9g} within {reach[at]:.3g}; "
            f"{int(wrong.sum())} of {wrong.size} are off"
        )


def assert_windows(got: Real, sums: Floats, magnitudes: Floats, terms: int, family: Family) -> None:
    """The output of nsa_compress."""
    assert_close("output", got.values, sums, family.of_sum(terms, magnitudes), got.dtype)


def assert_ranking(what: str, got: Ints, scores: Floats, error: Floats) -> None:
    """Best first: exact wherever scores differ by more than their errors; ties by lower index."""
    filled = min(len(got), len(scores))
    assert np.all(got[filled:] == -1), f"{what}: past {filled} candidates, expected -1: {got}"
    chosen = got[:filled]
    assert np.all((chosen >= 0) & (chosen < len(scores))), f"{what}: out of range: {chosen}"
    assert len(set(chosen.tolist())) == filled, f"{what}: not distinct: {chosen}"
    # The p-th best computed score lies between the p-th best lower and the p-th best upper bound.
    low, high = scores - error, scores + error
    places = zip(np.sort(low)[::-1], np.sort(high)[::-1], strict=True)
    for place, (index, (lowest, highest)) in enumerate(zip(chosen.tolist(), places, strict=False)):
        assert high[index] >= lowest, f"{what}[{place}]: {index} scores too low for its place"
        assert low[index] <= highest, f"{what}[{place}]: {index} scores too high for its place"
    for place in range(filled - 1):
        here, following = int(chosen[place]), int(chosen[place + 1])
        if error[here] == error[following] == 0 and scores[here] == scores[following]:
            assert here < following, f"{what}[{place}]: equal scores, but {here} before {following}"


def assert_attention(
    rows: list[list[Row]],
    out: Real,
    topk: Ints | None,
    family: Family,
    maximum: Floats | None = None,
    total: Floats | None = None,
    block_scores: Floats | None = None,
    *,
    accuracy: str = "fp32",
) -> None:
    """Outputs [T, N, D2], and where wanted [T, N2, k], [T, N] twice and [T, N2, J]."""
    for t, heads in enumerate(rows):
        for g, row in enumerate(heads):
            where = f"[{t}, kv head {g}]"
            group = slice(g * len(row.out), (g + 1) * len(row.out))
            relative = family.of_probability(row)
            lost = family.underflow * row.n
            error = (relative + family.of_sum(row.n, np.ones(1)))[:, None] * row.value_magnitude
            error = error + lost * np.abs(row.value_magnitude).max(initial=1.0)
            if accuracy == "storage":
                error = error + row.storage[:, None]
            assert_close(f"attention_out{where}", out.values[t, group], row.out, error, out.dtype)
            slack = family.of_importance(row) * row.importance
            slack = slack + lost * row.band * max(1.0, row.whole_share.max(initial=0.0))
            if topk is not None:
                fuzzy = np.isfinite(row.scores) & (row.scores > 0)
                error = np.where(fuzzy, slack, 0.0)
                assert_ranking(f"topk_indices{where}", topk[t, g], row.scores, error)
            if block_scores is not None:
                count = len(row.importance)
                assert_close(
                    f"block_scores{where}",
                    block_scores[t, g, :count],
                    row.importance,
                    slack,
                    "float32",
                )
                assert np.all(block_scores[t, g, count:] == 0), f"block_scores{where}: past {count}"
            if maximum is not None:
                assert_close(
                    f"softmax_max{where}",
                    maximum[t, group],
                    row.maximum,
                    family.of_score(row),
                    "float32",
                )
            if total is not None:
                assert_close(
                    f"softmax_sum{where}",
                    total[t, group],
                    row.total,
                    relative * row.total + lost,
                    "float32",
                )

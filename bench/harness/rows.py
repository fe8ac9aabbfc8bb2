"""Rows of the results: what a contender's rounds say."""

from __future__ import annotations

import statistics
from typing import Any

from harness.rounds import Contender, Peaks, ratios
from harness.shapes import Shape

Row = dict[str, Any]


def floors(shape: Shape, peaks: Peaks) -> dict[str, float]:
    """Milliseconds that the products and the reads take at the peaks."""
    return {
        "fma": shape.flops / peaks.fma_gflops * 1e-6,
        "read": shape.read_bytes / peaks.read_gbytes_per_s * 1e-6,
    }


def row_of(
    shape: Shape,
    contender: Contender,
    peaks: list[Peaks],
    error: float | None,
    *,
    dtype: str,
    level: str,
    threads: int,
) -> Row:
    """A contender's row.

    The bound is the nearer floor, that which takes longer; its percentage is the median of the
    rounds, each with its own peaks.
    """
    middle = Peaks(
        statistics.median(p.fma_gflops for p in peaks),
        statistics.median(p.read_gbytes_per_s for p in peaks),
    )
    at_middle = floors(shape, middle)
    bound = max(at_middle, key=lambda name: at_middle[name])
    median = statistics.median(contender.times)
    percents = [
        100 * floors(shape, round_peaks)[bound] / time
        for round_peaks, time in zip(peaks, contender.times, strict=False)
    ]
    ratio = ratios(contender)
    return {
        "operator": shape.operator,
        "shape": shape.name,
        "dtype": dtype,
        "level": level,
        "threads": threads,
        "impl": contender.name,
        "median_ms": median,
        "gflops": shape.flops / median * 1e-6,
        "gbytes_per_s": shape.read_bytes / median * 1e-6,
        "bound": bound,
        "percent_of_bound": statistics.median(percents),
        "ratio_to_tamis": ratio.median,
        "ratio_min": ratio.least,
        "ratio_max": ratio.most,
        "max_error": error,
        "fma_gflops": middle.fma_gflops,
        "read_gbytes_per_s": middle.read_gbytes_per_s,
    }


HEADER = (
    f"{'':44} {'threads':>7} {'ms':>10} {'% of bound':>12} {'ratio':>7} {'least':>6} {'most':>6} "
    f"{'error':>8}"
)


def line_of(row: Row) -> str:
    """A row as the table prints it."""
    error = "" if row["max_error"] is None else f"{row['max_error']:.1e}"
    return (
        f"  {row['impl'][:42]:42} {row['threads']:7} {row['median_ms']:10.3f} "
        f"{row['percent_of_bound']:7.1f} {row['bound']:4} {row['ratio_to_tamis']:7.2f} "
        f"{row['ratio_min']:6.2f} {row['ratio_max']:6.2f} {error:>8}"
    )

"""Time and memory against context: `./dev bench --growth FILE`.

Decoding from 1K to 1M keys, medians of a few samples; prefill from 1K to 64K tokens, and a backward
to 32K, timed once.
The file holds `points` (operator, phase, context, threads, level, dtype, median_ms, gflops,
percent_of_fma, workspace_bytes of the plan, resident_bytes at the peak of the call, and
extra_bytes, that peak above what was resident before) and `curves` (expected_exponent and
fitted_exponent of the time, worst_step: the largest growth from one context to its double).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import tamis
from harness import ours
from harness.rounds import Calibration, use
from harness.shapes import (
    Pool,
    Shape,
    compress,
    decode,
    indexer,
    prefill,
    selection,
    spell,
)
from harness.training_cases import latents_grad

SAMPLES = 5
FIT_FROM = 8192  # contexts below are mostly what every call costs


@dataclass(frozen=True)
class Curve:
    """One operator's calls over contexts; time grows with their power `exponent`."""

    operator: str
    phase: str
    shape: Callable[[int], Shape]
    exponent: float
    most: int


def cold_sets(bytes_each: int) -> int:
    """How many argument sets it takes that none stays in the caches."""
    return max(1, min(32, (128 << 20) // bytes_each))


CURVES = [
    Curve("sparse_flash_attention", "decode", lambda n: selection(1, 128, n, min(n, 2048)), 0, 20),
    Curve("lightning_indexer", "decode", lambda n: indexer(n, count=min(n, 2048)), 1, 20),
    Curve(
        "nsa_compress_attention_infer",
        "decode",
        lambda n: decode(1, n, sets=cold_sets(2560 * n)),
        1,
        20,
    ),
    Curve("nsa_compress", "prefill", compress, 1, 16),
    Curve(
        "nsa_compress_attention",
        "prefill",
        lambda n: prefill(n, n // 16 - 1, causal=True),
        2,
        16,
    ),
    Curve("lightning_indexer", "prefill", lambda n: indexer(n, n, count=min(n, 2048)), 2, 16),
    Curve(
        "sparse_flash_attention",
        "prefill",
        lambda n: selection(n, 16, n, min(n, 2048), sets=1),
        1,
        16,
    ),
    Curve(
        "sparse_flash_attention_grad",
        "backward",
        lambda n: latents_grad(n, min(n, 2048)),
        1,
        15,
    ),
]


def workspace_bytes(shape: Shape, pool: Pool, threads: int) -> int:
    """Scratch that the plan of set 0 asks for."""
    arguments = pool.sets[0] | pool.attributes
    return tamis.plan(shape.operator, **arguments, threads=threads).workspace_bytes


def resident(name: str) -> int:
    """VmRSS, or VmHWM, the most since `forget_peak`."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status: expected {name}")


def forget_peak() -> None:
    """VmHWM starts again at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def point(
    curve: Curve, context: int, level: str, threads: int, calibration: Calibration
) -> dict[str, Any]:
    """One context."""
    torch.manual_seed(1)
    shape = curve.shape(context)
    pool = shape.make(torch.bfloat16)
    contender = ours.contender(shape, pool)
    workspace = workspace_bytes(shape, pool, threads)
    forget_peak()
    before = resident("VmRSS")
    peaks = calibration.peaks(level, threads)
    if curve.phase != "decode":
        times = [contender.sample()]
    else:
        contender.warm()
        times = [contender.sample() for _ in range(SAMPLES)]
    most = resident("VmHWM")
    median = statistics.median(times)
    gflops = shape.flops / median * 1e-6
    return {
        "operator": curve.operator,
        "phase": curve.phase,
        "context": context,
        "threads": threads,
        "level": level,
        "dtype": "bfloat16",
        "median_ms": median,
        "gflops": gflops,
        "percent_of_fma": 100 * gflops / peaks.fma_gflops,
        "workspace_bytes": workspace,
        "resident_bytes": most,
        "extra_bytes": most - before,
    }


def exponent(contexts: list[int], times: list[float]) -> float:
    """The slope of the times' logarithms, by least squares."""
    x, y = [math.log(n) for n in contexts], [math.log(t) for t in times]
    return statistics.linear_regression(x, y).slope


def worst_step(times: list[float]) -> float:
    """The largest growth from one context to the next."""
    return max(after / before for before, after in itertools.pairwise(times))


def curve_of(curve: Curve, points: list[dict[str, Any]]) -> dict[str, Any]:
    """What a curve's points say together."""
    late = [p for p in points if p["context"] >= FIT_FROM]
    late = late if len(late) > 1 else points
    times = [p["median_ms"] for p in late]
    return {
        "operator": curve.operator,
        "phase": curve.phase,
        "threads": points[0]["threads"],
        "level": points[0]["level"],
        "fitted_from": late[0]["context"],
        "expected_exponent": curve.exponent,
        "fitted_exponent": exponent([p["context"] for p in late], times),
        "worst_step": worst_step(times),
    }


def main(options: argparse.Namespace, calibration: Calibration) -> None:
    """Every curve at the last of the levels, on the most threads asked for."""
    level, threads = options.level[-1], max(options.threads)
    use(level, threads)
    found: dict[str, list[dict[str, Any]]] = {"points": [], "curves": []}
    for curve in CURVES:
        if options.operator and curve.operator not in options.operator:
            continue
        print(f"{curve.operator}, {curve.phase}: expected exponent {curve.exponent:g}")
        points = []
        for power in range(10, 1 + min(curve.most, options.most)):
            points.append(point(curve, 1 << power, level, threads, calibration))
            last = points[-1]
            print(
                f"  {spell(last['context']):>5} {last['median_ms']:12.3f} ms "
                f"{last['percent_of_fma']:6.1f}% of FMA, workspace "
                f"{last['workspace_bytes'] / 2**20:8.2f} MiB, resident "
                f"{last['resident_bytes'] / 2**20:8.0f} MiB, {last['extra_bytes'] / 2**20:+8.1f}",
                flush=True,
            )
        whole = curve_of(curve, points)
        print(
            f"  fitted from {spell(whole['fitted_from'])}: exponent "
            f"{whole['fitted_exponent']:.2f}, worst step {whole['worst_step']:.2f}"
        )
        found["points"] += points
        found["curves"].append(whole)
        options.growth.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

"""What a call costs beside its kernel, and what Tamis and PyTorch cost each other.

    python bench/overhead.py            (tamis importable; with torch, the torch lines, too)

Prints microseconds above the kernel for a call of nsa_compress on three windows; then the time of
matrix products and of attention alone and in turns, on the same threads. Medians of rounds.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tamis
from tamis import _library

WINDOWS: dict[str, Any] = {
    "act_seq_len": [64],
    "compress_block_size": 32,
    "compress_stride": 16,
}


def microseconds(call: Callable[[], object], calls: int = 2000, rounds: int = 15) -> float:
    """The median over rounds of the time of one call."""
    for _ in range(calls // 4):
        call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls * 1e6)
    return statistics.median(times)


def kernel_microseconds(tokens: Any, weight: Any, output: Any) -> float:
    """A plan that is made once and run often, less what an empty call of ctypes takes."""
    plan = tamis.plan(
        "nsa_compress", input=tokens, weight=weight, output=output, **WINDOWS, threads=1
    )
    library = _library.library()
    run = microseconds(lambda: library.tamis_plan_run(plan._plan, None, 0, None))
    return run - microseconds(lambda: library.tamis_plan_destroy(None))


def overhead() -> None:
    """One line for each way to call."""
    tamis.set_num_threads(1)
    tokens, weight = np.ones((64, 4, 32), np.float16), np.ones((32, 4), np.float16)
    output = np.empty((3, 4, 32), np.float16)
    kernel = kernel_microseconds(tokens, weight, output)
    plan = tamis.plan("nsa_compress", input=tokens, weight=weight, **WINDOWS)
    calls: dict[str, Callable[[], object]] = {
        "numpy": lambda: tamis.nsa_compress(tokens, weight, **WINDOWS),
        "numpy, output given": lambda: tamis.nsa_compress(tokens, weight, **WINDOWS, output=output),
        "numpy, a plan": lambda: plan.run(input=tokens, weight=weight, output=output),
    }
    print(f"nsa_compress, 3 windows of 4 x 32: kernel {kernel:.1f} us; above it")
    for name, call in calls.items():
        print(f"  {name:32} {microseconds(call) - kernel:5.1f} us")
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    importlib.import_module("tamis.torch")  # registers the operators
    torch.set_num_threads(1)
    x, w = torch.from_numpy(tokens), torch.from_numpy(weight)

    def operator() -> object:
        return torch.ops.tamis.nsa_compress(x, w, **WINDOWS)

    print(f"  {'torch.ops.tamis':32} {microseconds(operator) - kernel:5.1f} us")
    with torch.no_grad():
        print(f"  {'torch.ops.tamis, no_grad':32} {microseconds(operator) - kernel:5.1f} us")


def milliseconds(calls: dict[str, Callable[[], object]], times: dict[str, list[float]]) -> None:
    """Add the time of each call, one after the other, to those of its name."""
    for name, call in calls.items():
        start = time.perf_counter()
        call()
        times.setdefault(name, []).append((time.perf_counter() - start) * 1e3)


def interleaved() -> None:
    """Products of PyTorch and attention of Tamis, alone and in turns."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    query = torch.randn(512, 16, 128).bfloat16()
    key = torch.randn(512, 2, 128).bfloat16()
    options: dict[str, Any] = {
        "scale_value": 0.1,
        "head_num": 16,
        "compress_block_size": 32,
        "compress_stride": 16,
        "select_block_size": 64,
        "select_block_count": 8,
        "actual_seq_qlen": [512],
        "actual_cmp_seq_kvlen": [512],
    }

    calls: dict[str, Callable[[], object]] = {
        "torch.mm": lambda: torch.mm(a, b),
        "nsa_compress_attention": lambda: torch.ops.tamis.nsa_compress_attention(
            query, key, key, **options
        ),
    }
    alone: dict[str, list[float]] = {}
    turns: dict[str, list[float]] = {}
    for _ in range(15):  # rounds in turns, so that a change of the machine meets both
        for name, call in calls.items():
            for _ in range(10):
                milliseconds({name: call}, alone)
        for _ in range(10):
            milliseconds(calls, turns)
    print(f"on {torch.get_num_threads()} threads of PyTorch; alone, in turns")
    for name in calls:
        one, other = statistics.median(alone[name]), statistics.median(turns[name])
        print(f"  {name:32} {one:6.2f} ms {other:6.2f} ms  {other / one:5.2f}")


if __name__ == "__main__":
    overhead()
    if importlib.util.find_spec("torch") is not None:
        interleaved()

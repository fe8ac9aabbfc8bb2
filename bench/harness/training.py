"""Forward and backward, beside PyTorch's: `./dev bench --training FILE`.

Every case of `training_cases`: the output and the gradients of what is trained, in one call, by
Tamis through autograd and by its peers in turns, on the same tensors. Rows are those of the other
runs, with floors of both ways, and

* `max_error`: the largest distance of an output or gradient from Tamis's, over its norm; a peer
  that is further away than rounding explains is no peer, and ends the run;
* `extra_bytes`: what the call took beside what was resident before, at its peak.

On one thread times are those of the process, not of the clock on the wall, and so are the peaks:
what others do on the machine counts less.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from harness.call import Call
from harness.checks import disagreement, distance
from harness.growth import forget_peak, resident
from harness.ours import Outputs
from harness.peers import DTYPES, need_compiler, product_dtype
from harness.rounds import Calibration, Contender, Peaks, all_processors, run, use
from harness.rows import HEADER, Row, line_of, row_of
from harness.shapes import Pool, stored
from harness.training_cases import Case, cases
from harness.training_peers import Function

FAR_APART = {"float32": 1e-3, "bfloat16": 0.03, "float16": 0.03}
SLOW_SECONDS = 30.0  # a call that takes longer is timed in one round


def both(case: Case, function: Function, pool: Pool, incoming: Tensor | None) -> Outputs:
    """A call's output and its gradients; `incoming` is the output's, ones if there is none."""
    tensors = pool.sets[0]
    leaves = {n: tensors[n].detach().requires_grad_() for n in case.wanted}
    products = product_dtype(tensors[case.wanted[0]].dtype)
    out = function(Call(tensors | leaves, pool.attributes, products))
    out.backward(torch.ones_like(out) if incoming is None else incoming)
    return (out.detach(), *(leaf.grad for leaf in leaves.values()))


def contenders(case: Case, pool: Pool, wanted: str) -> Iterator[Contender]:
    """Tamis, and the peers that are wanted."""
    with torch.no_grad():
        tensors = pool.sets[0]
        out = case.ours(Call(tensors, pool.attributes, torch.float32))
    # A loss brings its own gradients; whatever else follows brings some of all sizes.
    incoming = None if out.numel() == 1 else torch.randn(out.shape).to(out.dtype)
    functions: dict[str, Function] = {"tamis": case.ours}
    for name, function in case.peers.items():
        if wanted == "all" or (wanted == "eager" and not name.startswith("compile")):
            functions[f"torch {name}"] = function
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for name, function in functions.items():

        def call(_: int, function: Function = function) -> Outputs:
            return both(case, function, pool, incoming)

        yield Contender(name, call, clock=clock)


def compared(case: Case, found: list[Contender], dtype: str) -> Iterator[tuple[float, int]]:
    """How far each is from Tamis, and the bytes that it takes; stops where one is too far."""
    expected: Outputs = ()
    for contender in found:
        forget_peak()
        before = resident("VmRSS")
        results = contender.call(0)
        extra = resident("VmHWM") - before
        expected = expected or results
        complaint = disagreement(expected, results, FAR_APART[dtype])
        if complaint is not None:
            raise SystemExit(f"bench: {case.shape.operator}, {contender.name}: {complaint}")
        yield max(distance(a, b) for a, b in zip(expected, results, strict=True)), extra


def of_process(measure: Callable[[], Peaks]) -> Peaks:
    """Peaks by the process's time: as if it had not waited for others."""
    wall, own = time.perf_counter(), time.process_time()
    peaks = measure()
    waited = (time.perf_counter() - wall) / (time.process_time() - own)
    return Peaks(*(peak * max(1.0, waited) for peak in peaks))


def measure(
    case: Case, dtype: str, calibration: Calibration, options: argparse.Namespace
) -> Iterator[Row]:
    """The rows of a case, at every level and number of threads."""
    torch.manual_seed(1)
    all_processors()
    pool = case.shape.make(DTYPES[dtype])
    shape = stored(case.shape, DTYPES[dtype])
    for level in options.level:
        for threads in options.threads:
            use(level, threads)
            found = list(contenders(case, pool, options.peers))
            judged = list(compared(case, found, dtype))
            machine = functools.partial(calibration.peaks, level, threads)
            if threads == 1:
                machine = functools.partial(of_process, machine)
            peaks = run(found, machine, options.rounds, SLOW_SECONDS)
            for contender, (apart, extra) in zip(found, judged, strict=True):
                named = {"dtype": dtype, "level": level, "threads": threads}
                row = row_of(shape, contender, peaks, apart, **named)
                yield row | {"extra_bytes": extra}


def main(options: argparse.Namespace, calibration: Calibration) -> None:
    """Every case that the arguments name."""
    if options.peers == "all":
        need_compiler()
    rows: list[Row] = []
    print(f"{HEADER} {'MiB':>7}")
    for case in cases():
        shape = case.shape
        if options.operator and shape.operator not in options.operator:
            continue
        if options.shape and options.shape not in shape.name:
            continue
        for dtype in options.dtype or shape.dtypes:
            print(f"{shape.operator}: {shape.name}, {dtype}, forward and backward")
            for row in measure(case, dtype, calibration, options):
                rows.append(row)
                print(f"{line_of(row)} {row['extra_bytes'] / 2**20:7.0f}", flush=True)
            options.training.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

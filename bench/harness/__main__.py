"""`./dev bench`: every shape, ours and its peers in turns.

`--growth`: time against context; `--pruning`: the indexer's scan; `--training`: forward and
backward. Prints a table, and with `--json` writes its rows: operator, shape, dtype, level, threads,
impl ("tamis" or the peer's name), median_ms, gflops, gbytes_per_s, bound ("fma" or "read": the
nearer floor), percent_of_bound, ratio_to_tamis with ratio_min and ratio_max (this row's time over
Tamis's of the same round), max_error (against the float64 reference), and the peaks fma_gflops and
read_gbytes_per_s that the bound was taken from.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from harness import growth, ours, pruning, training
from harness.checks import Error, disagreement, error_of
from harness.peers import DTYPES, Peers, need_compiler
from harness.rounds import Calibration, Contender, all_processors, levels, run, run_once, use
from harness.rows import HEADER, Row, line_of, row_of
from harness.shapes import Pool, Shape, shapes, stored
from harness.training_cases import cases

ROUNDS = 7


def arguments(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description="times the operators beside this machine's peaks and beside PyTorch's",
    )
    offered = levels()
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument(
        "--growth",
        type=Path,
        metavar="FILE",
        help="time and memory against context instead, written to this file",
    )
    parser.add_argument(
        "--pruning",
        type=Path,
        metavar="FILE",
        help="the indexer's scan beside its plain way instead, over many kinds of keys",
    )
    parser.add_argument(
        "--training",
        type=Path,
        metavar="FILE",
        help="forward and backward instead, beside PyTorch's, written to this file",
    )
    parser.add_argument(
        "--peers",
        choices=["all", "eager", "none"],
        default="all",
        help="eager: without those that need a C++ compiler",
    )
    parser.add_argument("--operator", nargs="*", help="only these")
    parser.add_argument("--shape", help="only shapes whose name contains this")
    parser.add_argument(
        "--dtype", nargs="*", choices=list(DTYPES), help="instead of each shape's own"
    )
    parser.add_argument("--level", nargs="*", choices=offered, default=offered[-1:])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--most",
        type=int,
        default=20,
        metavar="POWER",
        help="--growth, --pruning: contexts up to 2^POWER",
    )
    options = parser.parse_args(given)
    known = {shape.operator for shape in shapes()}
    if options.growth:
        known = {curve.operator for curve in growth.CURVES}
    elif options.training:
        known = {case.shape.operator for case in cases()}
    if options.operator and not set(options.operator) <= known:
        parser.error(f"--operator: expected some of {', '.join(sorted(known))}")
    return options


def all_contenders(shape: Shape, pool: Pool, peers: Peers, wanted: str) -> Iterator[Contender]:
    """Tamis, its variants, and the peers if wanted."""
    yield ours.contender(shape, pool)
    yield from ours.variants(shape, pool)
    if wanted != "none" and shape.peers:
        yield from peers.contenders(compiled=wanted == "all")


def judged(
    shape: Shape, found: list[Contender], outputs: list[ours.Outputs], error: Error
) -> list[float]:
    """Errors of the contenders' results on set 0; stops where one computes something else."""
    for contender, theirs in zip(found, outputs, strict=True):
        complaint = disagreement(outputs[0], theirs)
        if complaint is not None:
            raise SystemExit(f"bench: {shape.operator}, {contender.name}: {complaint}")
    return [error(theirs) for theirs in outputs]


def measure(
    shape: Shape, dtype: str, calibration: Calibration, options: argparse.Namespace
) -> Iterator[Row]:
    """The rows of one shape, at every level and number of threads."""
    torch.manual_seed(1)
    all_processors()
    pool = shape.make(DTYPES[dtype])
    shape = stored(shape, DTYPES[dtype])
    error = error_of(shape, pool)
    peers = Peers(shape.operator, pool.sets, pool.attributes, dtype)
    for level in options.level:
        for threads in options.threads:
            use(level, threads)
            found = list(all_contenders(shape, pool, peers, options.peers))
            machine = functools.partial(calibration.peaks, level, threads)
            if shape.largest:
                peaks, outputs = run_once(found, machine)
                errors = judged(shape, found, outputs, error)
                del outputs
            else:
                errors = judged(shape, found, [contender.call(0) for contender in found], error)
                peaks = run(found, machine, options.rounds)
            for contender, its_error in zip(found, errors, strict=True):
                yield row_of(
                    shape,
                    contender,
                    peaks,
                    its_error,
                    dtype=dtype,
                    level=level,
                    threads=threads,
                )


def write(path: Path, rows: list[Row]) -> None:
    """Rows as JSON."""
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main(given: list[str] | None = None) -> int:
    """Time what the arguments name."""
    begin = time.monotonic()
    options = arguments(given)
    calibration = Calibration()
    if options.growth:
        growth.main(options, calibration)
        return 0
    if options.pruning:
        pruning.main(options, calibration)
        return 0
    if options.training:
        training.main(options, calibration)
        return 0
    if options.peers == "all":
        need_compiler()
    rows: list[Row] = []
    print(HEADER)
    for shape in shapes():
        if options.operator and shape.operator not in options.operator:
            continue
        if options.shape and options.shape not in shape.name:
            continue
        for dtype in options.dtype or shape.dtypes:
            print(f"{shape.operator}: {shape.name}, {dtype}, level {', '.join(options.level)}")
            with torch.no_grad():
                for row in measure(shape, dtype, calibration, options):
                    rows.append(row)
                    print(line_of(row), flush=True)
            if options.json:
                write(options.json, rows)  # what is there, should a later shape fail
    print(f"{len(rows)} rows in {(time.monotonic() - begin) / 60:.1f} minutes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Interleaved rounds, each beside the machine's peaks."""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import tamis
from tamis import _library

SAMPLE_SECONDS = 0.02  # of calls in a row, so that the clock's grain and a tick do not show
SLOW_SECONDS = 2.0  # a call that takes longer is timed in one round
_SETTLE_SECONDS = 0.005  # PyTorch's threads stop spinning, before Tamis's own measure the peaks
_PROCESSORS = sorted(os.sched_getaffinity(0))


class Peaks(NamedTuple):
    """What the machine could do in a round."""

    fma_gflops: float
    read_gbytes_per_s: float


class Calibration:
    """The peaks of fused multiply-adds and of reads, by `bench/calibrate.cc`.

    Its library is what TAMIS_CALIBRATE_LIBRARY names, else what `./dev` has built.
    """

    def __init__(self) -> None:
        built = Path(__file__).parents[2] / "build/release/bench/libtamis_calibrate.so"
        library = os.environ.get("TAMIS_CALIBRATE_LIBRARY", str(built))
        self._measure = ctypes.CDLL(library).tamis_calibrate
        self._measure.argtypes = [ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(ctypes.c_double)]

    def peaks(self, level: str, threads: int) -> Peaks:
        """At the level, now; levels above avx512 have its peaks, avx2_vnni has those of avx2."""
        time.sleep(_SETTLE_SECONDS)
        found = (ctypes.c_double * 2)()
        if self._measure(_library.LEVELS.index(level), threads, found) != 0:
            raise MemoryError("calibration: cannot allocate 512 MiB")
        return Peaks(found[0], found[1])


def levels() -> list[str]:
    """Those that the library offers on this processor, ascending."""
    ids: Any = np.zeros((1, 1), np.int32)
    found = []
    for level in _library.LEVELS[1:]:
        named: Any = level
        try:
            tamis.localize_indices(ids, rank=0, world=1, level=named)
        except (NotImplementedError, ValueError):
            continue
        found.append(level)
    return found


def use(level: str, threads: int) -> None:
    """PyTorch's threads, and with them Tamis's, on as many processors; Tamis at a level."""
    if threads > len(_PROCESSORS):
        raise ValueError(f"--threads: expected at most {len(_PROCESSORS)}, got {threads}")
    os.sched_setaffinity(0, _PROCESSORS[:threads])
    torch.set_num_threads(threads)
    os.environ["TAMIS_LEVEL"] = level


def all_processors() -> None:
    """For what is not timed."""
    os.sched_setaffinity(0, _PROCESSORS)


@dataclass
class Contender:
    """One way to do it: `call(i)` is the call on argument set i.

    `times` and `own` are milliseconds by round: of its calls, and of Tamis's right before.
    """

    name: str
    call: Callable[[int], Any]
    times: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    repeat: int = 1
    at: int = 0
    clock: Callable[[], float] = time.perf_counter

    def sample(self) -> float:
        """Milliseconds of a call, the mean of enough calls in a row."""
        start = self.clock()
        for _ in range(self.repeat):
            self.call(self.at)
            self.at += 1
        return 1e3 * (self.clock() - start) / self.repeat

    def warm(self) -> float:
        """Seconds of a call, one that is not the first: that may compile or allocate."""
        seconds = self.sample() / 1e3
        self.repeat = max(1, round(SAMPLE_SECONDS / seconds))
        return seconds


@dataclass
class Ratios:
    """A contender's time over Tamis's, round by round."""

    median: float
    least: float
    most: float


def ratios(contender: Contender) -> Ratios:
    """Of a contender that has been timed."""
    found = [time / own for time, own in zip(contender.times, contender.own, strict=True)]
    return Ratios(statistics.median(found), min(found), max(found))


def run(
    contenders: list[Contender],
    peaks: Callable[[], Peaks],
    rounds: int,
    slow_seconds: float = SLOW_SECONDS,
) -> list[Peaks]:
    """Time contenders in turns, the first (ours) before each of the others: ours, peer, ours, peer.

    Parameters
    ----------
    contenders : list of Contender
        The first is Tamis. All have been called before.
    peaks : callable
        Measures them; called in every round.
    rounds : int
        How many; one for contenders whose calls are slow.
    slow_seconds : float
        What is slow.

    Returns
    -------
    list of Peaks
        Of every round.
    """
    ours, *others = contenders
    slow = {contender.name for contender in contenders if contender.warm() > slow_seconds}
    found = []
    for turn in range(1 if ours.name in slow else rounds):
        found.append(peaks())
        own = []
        for other in others:
            if turn and other.name in slow:
                continue
            own.append(ours.sample())
            other.times.append(other.sample())
            other.own.append(own[-1])
        ours.times.append(statistics.median(own or [ours.sample()]))
    ours.own = ours.times
    return found


def run_once(
    contenders: list[Contender], peaks: Callable[[], Peaks]
) -> tuple[list[Peaks], list[Any]]:
    """For calls of many seconds: every contender is called a single time.

    Returns
    -------
    list of Peaks
        Those before the calls.
    list
        What the calls returned.
    """
    found, outputs = [peaks()], []
    for contender in contenders:
        start = time.perf_counter()
        outputs.append(contender.call(0))
        contender.times.append(1e3 * (time.perf_counter() - start))
        contender.own.append(contenders[0].times[0])
    return found, outputs

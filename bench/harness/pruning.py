"""What a scan in 8-bit integers brings to the indexer: `./dev bench --pruning FILE`.

One token of 64 heads over 131072 keys of many kinds: with a shadow, without one, and both beside
the plain way, which is called right before each in every round. The file's rows have `keys`,
`count`, `dtype`, `level`, `threads`, `impl` (plain, scan, scan of a shadow), median_ms,
percent_of_fma (of products that the plain way makes, at the peak of the same rounds), speedup over
the plain way of the same rounds with speedup_min and speedup_max. Indices are compared: where one
differs, it stops.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import statistics
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness import ours
from harness.rounds import Calibration, Contender, Peaks, all_processors, ratios, run, use
from harness.shapes import Pool, Shape, indexer

HEADS, DIM, SETS = 64, 128, 2
COUNTS = (2048, 512)
ROOT = Path(__file__).parents[2]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}

Keys = tuple[Tensor, Tensor]  # query [1, 1, HEADS, DIM], key [1, n, 1, DIM]


def _query() -> Tensor:
    return torch.randn(1, 1, HEADS, DIM)


def gaussian(count: int) -> Keys:
    """Normal numbers."""
    return _query(), torch.randn(1, count, 1, DIM)


def words() -> list[str]:
    """Those of this project's documents and sources, in order."""
    found: list[str] = []
    for folder, pattern in (
        (".", "*.md"),
        ("docs", "**/*.md"),
        ("src", "**/*.cc"),
        ("src", "**/*.h"),
    ):
        for path in sorted((ROOT / folder).glob(pattern)):
            found += re.findall(r"\w+|[^\w\s]", path.read_text(encoding="utf-8"))
    return found


def text(count: int) -> Keys:
    """Hashed n-grams of words, up to 4 of them; the heads ask for places of the text."""
    every = words()
    table = torch.randn(1 << 16, DIM)
    first = int(torch.randint(0, max(1, len(every) - count), ()))
    place = [every[(first + i) % len(every)] for i in range(count)]
    key = torch.zeros(count, DIM)
    for n in range(1, 5):
        grams = (" ".join(place[max(0, i - n + 1) : i + 1]) for i in range(count))
        hashes = [zlib.crc32(gram.encode()) & 0xFFFF for gram in grams]
        key += table[torch.tensor(hashes)]
    asked = key[torch.randint(0, count, (HEADS,))] / 2
    return (asked + 0.3 * torch.randn(HEADS, DIM)).view(1, 1, HEADS, DIM), key.view(1, -1, 1, DIM)


def large_channel(count: int) -> Keys:
    """One channel of the keys 20 times as large."""
    query, key = gaussian(count)
    key[..., 5] *= 20
    return query, key


def low_rank(count: int) -> Keys:
    """16 directions and a little noise."""
    key = torch.randn(count, 16) @ torch.randn(16, DIM) / 4 + 0.1 * torch.randn(count, DIM)
    return _query(), key.view(1, count, 1, DIM)


def near_duplicates(count: int) -> Keys:
    """64 clusters, a thousandth wide."""
    key = torch.randn(64, DIM)[torch.randint(0, 64, (count,))] + 1e-3 * torch.randn(count, DIM)
    return _query(), key.view(1, count, 1, DIM)


def dynamic_range(count: int) -> Keys:
    """Sizes from 2^-10 to 2^10."""
    return _query(), torch.randn(1, count, 1, DIM) * torch.exp2(
        20 * torch.rand(1, count, 1, 1) - 10
    )


def constant(count: int) -> Keys:
    """The same key everywhere."""
    return _query(), torch.randn(1, 1, 1, DIM).expand(1, count, 1, DIM)


def zeros(count: int) -> Keys:
    """Nothing."""
    return _query(), torch.zeros(1, count, 1, DIM)


def ties(count: int) -> Keys:
    """Two keys, dealt at random."""
    sign = torch.randint(0, 2, (1, count, 1, 1)) * 2.0 - 1
    return _query(), sign.expand(1, count, 1, DIM)


KINDS: dict[str, Callable[[int], Keys]] = {
    "gaussian": gaussian,
    "text": text,
    "low rank": low_rank,
    "one channel x20": large_channel,
    "near-duplicates": near_duplicates,
    "range of 2^20": dynamic_range,
    "constant": constant,
    "zeros": zeros,
    "ties": ties,
}


def pool_of(kind: str, count: int, dtype: torch.dtype) -> Pool:
    """Argument sets, each with a shadow of its keys."""
    sets = []
    for _ in range(SETS):
        query, key = (t.to(dtype).contiguous() for t in KINDS[kind](count))
        shadow = torch.ops.tamis.quantize_index_keys(key)
        weights = torch.randn(1, 1, HEADS).abs().to(dtype)
        sets.append({"query": query, "key": key, "weights": weights, "key_shadow": shadow})
    return Pool(sets, {})


def contenders(shape: Shape, pool: Pool) -> list[Contender]:
    """The plain way, and the scan with keys and with their shadow."""
    bare = Pool([{n: t for n, t in s.items() if n != "key_shadow"} for s in pool.sets], {})
    bare.attributes = pool.attributes = {"sparse_count": int(shape.name.split()[-1])}
    return [
        ours.contender(shape, bare, "plain", pruning="off"),
        ours.contender(shape, bare, "scan"),
        ours.contender(shape, pool, "scan of a shadow"),
    ]


def rows_of(
    shape: Shape, found: list[Contender], peaks: list[Peaks], about: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """One of each."""
    fma = statistics.median(peak.fma_gflops for peak in peaks)
    for contender in found:
        over = ratios(contender)
        median = statistics.median(contender.times)
        yield about | {
            "impl": contender.name,
            "median_ms": round(median, 4),
            "percent_of_fma": round(shape.flops / median / 1e4 / fma, 1),
            "speedup": round(1 / over.median, 3),
            "speedup_min": round(1 / over.most, 3),
            "speedup_max": round(1 / over.least, 3),
            "fma_gflops": round(fma, 1),
        }


def main(options: argparse.Namespace, calibration: Calibration) -> None:
    """Every kind of keys, at every level and number of threads asked for."""
    found: list[dict[str, Any]] = []
    keys = 1 << min(17, options.most)
    for dtype in options.dtype or ["bfloat16"]:
        for kind in KINDS:
            torch.manual_seed(1)
            all_processors()
            pool = pool_of(kind, keys, DTYPES[dtype])
            for level in options.level:
                for threads in options.threads:
                    use(level, threads)
                    for count in (min(count, keys // 16) for count in COUNTS):
                        shape = indexer(keys, heads=HEADS, dim=DIM, count=count)
                        ways = contenders(shape, pool)
                        results = [way.call(0)[0] for way in ways]
                        if not all(torch.equal(results[0], other) for other in results):
                            raise SystemExit(f"bench: {kind}, top {count}: selections differ")
                        machine = functools.partial(calibration.peaks, level, threads)
                        peaks = run(ways, machine, options.rounds)
                        about = {"keys": kind, "count": count, "dtype": dtype}
                        about |= {"level": level, "threads": threads}
                        found += rows_of(shape, ways, peaks, about)
                        print(_line(found[-3:]), flush=True)
            options.pruning.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _line(rows: list[dict[str, Any]]) -> str:
    plain, scan, shadow = rows
    return (
        f"{plain['keys']:16} top {plain['count']:<5}{plain['dtype']:9} {plain['level']:12} "
        f"{plain['threads']} plain {plain['median_ms']:7.3f} ms {plain['percent_of_fma']:5.0f}% | "
        f"scan {scan['median_ms']:7.3f} {scan['percent_of_fma']:4.0f}% {scan['speedup']:5.2f}x | "
        f"shadow {shadow['median_ms']:7.3f} {shadow['percent_of_fma']:4.0f}% "
        f"{shadow['speedup']:5.2f}x"
    )

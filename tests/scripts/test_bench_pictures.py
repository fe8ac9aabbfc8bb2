"""Pictures and tables of docs/benchmarks.md say what the results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import benchmarks
import pytest


def row(impl: str, threads: int, **changed: Any) -> dict[str, Any]:
    return {
        "operator": "mla_prolog",
        "shape": "64 tokens, NZ",
        "dtype": "bfloat16",
        "level": "avx512",
        "threads": threads,
        "impl": impl,
        "median_ms": 12.5,
        "bound": "read",
        "percent_of_bound": 91.0,
        "ratio_to_tamis": 1.0,
        "ratio_min": 0.9,
        "ratio_max": 1.1,
        "max_error": 0.001,
    } | changed


ROWS = [
    row("tamis", 1),
    row("torch eager, float32", 1, ratio_to_tamis=2.0, ratio_min=1.5, ratio_max=8.0),
    row("tamis", 2, percent_of_bound=140.0, bound="fma"),
    row("torch prepacked, bfloat16", 2, ratio_to_tamis=0.8, ratio_min=0.25, ratio_max=0.9),
]
CURVE = {"operator": "nsa_compress", "phase": "prefill", "threads": 2, "level": "avx2"}
GROWTH = {
    "points": [
        CURVE | {"context": n, "median_ms": n / 1e3, "workspace_bytes": 1 << 20, "extra_bytes": n}
        for n in (1024, 2048, 4096)
    ],
    "curves": [CURVE | {"expected_exponent": 1, "fitted_exponent": 1.01, "worst_step": 2.0}],
}


def test_shares_are_of_every_way_to_run() -> None:
    picture = benchmarks.shares(ROWS)
    for text in ("91% of read", "140% of fma", "avx512, 1 thread<", "avx512, 2 threads", "120%"):
        assert text in picture


def test_peers_are_drawn_for_the_threads_asked_for() -> None:
    one, two = (benchmarks.against_peers(ROWS, threads) for threads in (1, 2))
    assert "1 thread, level avx512" in one
    assert "2 threads, level avx512" in two
    ticks = [f">{tick}</text>" for tick in ("0.25", "0.5", "1", "2", "4", "8")]
    assert [tick in one for tick in ticks] == [False, True, True, True, True, True]
    assert [tick in two for tick in ticks] == [True, True, True, True, True, False]


def test_growth_has_a_line_per_curve() -> None:
    picture = benchmarks.growth(GROWTH)
    assert "nsa_compress, prefill" in picture
    assert "exponent 1.01, expected 1" in picture


def test_the_page_holds_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = "".join(
        f"<!-- {name}:begin -->\nold\n<!-- {name}:end -->\n" for name in ("results", "growth")
    )
    for name, content in (
        ("PAGE", marks),
        ("RESULTS", json.dumps(ROWS)),
        ("GROWTH", json.dumps(GROWTH)),
    ):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        monkeypatch.setattr(benchmarks, name, path)
    page = benchmarks.page()
    assert "old" not in page
    assert "| **mla_prolog: 64 tokens, NZ** | | | | | |" in page
    assert "| tamis, avx512 | 1 | 12.5 | 91% of read |  | 1.0e-03 |" in page
    assert (
        "| torch eager, float32 | 1 | 12.5 | 91% of read | 2.00 (1.50 to 8.00) | 1.0e-03 |" in page
    )
    assert "| `nsa_compress`, prefill | 1024 to 4096 | 1.02 to 4.096 ms | 1.01, 1 | 2.00 |" in page
    benchmarks.PAGE.write_text(page, encoding="utf-8")
    assert benchmarks.page() == page

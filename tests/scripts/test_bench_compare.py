"""Two runs of the benchmark, side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import compare
import pytest


def row(impl: str, percent: float, ratio: float, shape: str = "1 token") -> dict[str, Any]:
    return {
        "operator": "mla_prolog",
        "shape": shape,
        "dtype": "bfloat16",
        "level": "avx512",
        "threads": 1,
        "impl": impl,
        "bound": "read",
        "percent_of_bound": percent,
        "ratio_to_tamis": ratio,
        "ratio_min": ratio - 0.1,
        "ratio_max": ratio + 0.1,
    }


def test_rows_are_matched_and_changes_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [row("tamis", 80, 1), row("torch eager", 60, 1.25), row("gone", 1, 1)]
    after = [
        row("torch eager", 60, 1.5),
        row("tamis", 85.5, 1),
        row("tamis", 70, 1, shape="64 tokens"),
    ]
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, rows in zip(paths, (before, after), strict=True):
        path.write_text(json.dumps(rows), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, paths)])
    compare.main()
    assert capsys.readouterr().out.splitlines() == [
        "mla_prolog 1 token bfloat16 avx512 1 tamis: 80.0 to 85.5% of read (+5.5)",
        "mla_prolog 1 token bfloat16 avx512 1 torch eager: 1.25 to 1.50 of Tamis's time *",
        "mla_prolog 1 token bfloat16 avx512 1 gone: only in the first",
        "mla_prolog 64 tokens bfloat16 avx512 1 tamis: only in the second",
    ]


def test_ranges_that_meet_are_not_marked() -> None:
    assert compare.line(row("peer", 1, 1.25), row("peer", 1, 1.4)).endswith("1.40 of Tamis's time")

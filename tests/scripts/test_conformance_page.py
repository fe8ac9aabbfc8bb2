"""The tests that docs/conformance.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_line_of_the_conformance_page_names_tests_that_exist() -> None:
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("src/ops/*/*test.cc"))
    )
    written = {
        f"{suite}.{name}" for suite, name in re.findall(r"^TEST\w*\((\w+), (\w+)\)", sources, re.M)
    }
    page = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) \|.*$", page, re.M)
    assert [int(line) for line in lines] == list(range(1, 21))
    for row in re.findall(r"^\| \d+ \|.*$", page, re.M):
        named = re.findall(r"`(\w+\.\w+)`", row)
        assert named, f"no test: {row}"
        assert set(named) <= written, f"unknown: {sorted(set(named) - written)}"

"""The tests and files that docs/trust.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/trust.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/*_test.cc"))
    written = {
        f"{suite}.{name}"
        for suite, name in re.findall(r"^TEST(?:_P|_F)?\((\w+),\s*(\w+)\)", sources, re.M)
    }
    named = set(re.findall(r"`([A-Z]\w+\.\w+)`", PAGE))
    assert len(named) >= 6
    assert named <= written, sorted(named - written)


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w./]+)`", PAGE)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []

"""The README and its Chinese version say the same, as far as a program can tell."""

from __future__ import annotations

import re
from pathlib import Path

from check_docs import blocks_of
from summarise_tests import rooms

ROOT = Path(__file__).resolve().parent.parent.parent
ENGLISH = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"


def both(pattern: str) -> tuple[list[str], list[str]]:
    """What the pattern finds in either, in order."""
    return (
        re.findall(pattern, ENGLISH.read_text(encoding="utf-8"), re.MULTILINE),
        re.findall(pattern, CHINESE.read_text(encoding="utf-8"), re.MULTILINE),
    )


def test_both_readmes_have_the_same_code() -> None:
    english, chinese = (
        [(block.language, block.code) for block in blocks_of(page)] for page in (ENGLISH, CHINESE)
    )
    assert english == chinese


def test_both_readmes_show_the_same_lines() -> None:
    english, chinese = both(r"^    .*$")
    assert english == chinese


def test_both_readmes_have_the_same_rows_and_headings() -> None:
    english, chinese = both(r"^(?:#+|\| `[^|]*\||\| \| \|)")
    assert english == chinese


def test_both_readmes_list_every_operator() -> None:
    for rows in both(r"^\| (`[^|]*`) \|[^|]*\| \[[^|]*\]\(src/ops/"):
        assert sorted(name.strip("`") for row in rows for name in row.split(", ")) == rooms(ROOT)


def test_both_readmes_link_to_the_same_pages() -> None:
    english, chinese = both(r"\]\(([^)]*)\)")
    assert set(english) - {CHINESE.name} == set(chinese) - {ENGLISH.name}
    assert CHINESE.name in english
    assert ENGLISH.name in chinese

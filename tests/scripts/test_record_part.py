"""Every part of `.ci/scheduled` has its line in docs/trust.md, and its results go there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from record_part import record, rows

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
SCHEDULED = (ROOT / ".ci/scheduled").read_text(encoding="utf-8")


def test_the_page_has_a_line_for_every_part_and_no_other() -> None:
    (names,) = re.findall(r"^names=\((.*)\)$", SCHEDULED, re.MULTILINE)
    commands = re.findall(r"^  \[([\w-]+)\]='\./dev ", SCHEDULED, re.MULTILINE)
    assert names.split() == commands == list(rows(PAGE))


def test_a_part_that_ran_says_when_on_what_and_how_long() -> None:
    for row in rows(PAGE).values():
        if row.result == "not run yet":
            assert (row.date, row.commit, row.seconds) == ("-", "-", "-")
        else:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", row.date)
            assert re.fullmatch(r"[0-9a-f]{12}\+?", row.commit)
            assert row.result in ("passed", "failed", "took over an hour")
            assert int(row.seconds) <= 3700


def test_a_result_changes_its_own_line_only() -> None:
    page = record(PAGE, "soak", "2026-12-01", "0123456789ab", "failed", 61)
    before, after = PAGE.splitlines(), page.splitlines()
    ((old, new),) = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert old.startswith("| `soak` | ")
    assert new.endswith(" | 2026-12-01 | 0123456789ab | failed | 61 |")
    assert rows(page)["soak"].what == rows(PAGE)["soak"].what


def test_a_part_without_a_line_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        record(PAGE, "nothing", "2026-12-01", "0123456789ab", "passed", 1)

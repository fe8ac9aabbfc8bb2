"""Writes what a part of `.ci/scheduled` came to into the table of docs/trust.md.

The commit has a `+` where the tree differed from it.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/trust.md"
ROW = re.compile(
    r"^\| `(?P<part>[\w-]+)` \| (?P<what>[^|]+) \| (?P<date>[^|]*) \| (?P<commit>[^|]*) "
    r"\| (?P<result>[^|]*) \| (?P<seconds>[^|]*) \|$",
    re.MULTILINE,
)


@dataclass
class Row:
    """A line of the table."""

    part: str
    what: str
    date: str
    commit: str
    result: str
    seconds: str

    def line(self) -> str:
        """As it stands in the page."""
        cells = (self.what, self.date, self.commit, self.result, self.seconds)
        return f"| `{self.part}` | " + " | ".join(cells) + " |"


def rows(page: str) -> dict[str, Row]:
    """The lines of the table, by part."""
    found = (Row(**{k: v.strip() for k, v in m.groupdict().items()}) for m in ROW.finditer(page))
    return {row.part: row for row in found}


def record(page: str, part: str, date: str, commit: str, result: str, seconds: int) -> str:
    """The page with another line for the part, which must have one."""
    row = rows(page)[part]
    new = Row(part, row.what, date, commit, result, str(seconds)).line()
    pattern = re.compile(rf"^\| `{re.escape(part)}` \|.*$", re.MULTILINE)
    return pattern.sub(lambda _: new, page, count=1)


def git(*arguments: str) -> str:
    """What git says of the tree."""
    command = ["git", *arguments]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def commit() -> str:
    """The tree's commit, with a `+` if the tree is not as committed, results aside."""
    name = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--", ".", f":!{PAGE.relative_to(ROOT)}")
    return f"{name}+" if changed else name


def main() -> int:
    """Write it."""
    parser = argparse.ArgumentParser(description="note a result of .ci/scheduled")
    parser.add_argument("part")
    parser.add_argument("result")
    parser.add_argument("seconds", type=int)
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    of_part = (arguments.part, date, commit(), arguments.result, arguments.seconds)
    PAGE.write_text(record(page, *of_part), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

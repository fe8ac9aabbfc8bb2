"""Compares two runs of the harness.

    python bench/compare.py BEFORE.json AFTER.json

Tamis's rows by percent of the bound that each run calibrated beside its times, peers' by their time
over Tamis's of the same rounds; not by milliseconds, which drift with the machine. Prints every row
that both have, and those that only one has. Ratios differ where the ranges of the rounds do not
meet; those lines are marked.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]
KEY = ("operator", "shape", "dtype", "level", "threads", "impl")


def rows_of(path: Path) -> dict[tuple[Any, ...], Row]:
    """The rows of a run, by what they are about."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return {tuple(row[name] for name in KEY): row for row in rows}


def line(before: Row, after: Row) -> str:
    """What has changed in a row."""
    if before["impl"] == "tamis":
        one, other = before["percent_of_bound"], after["percent_of_bound"]
        return f"{one:.1f} to {other:.1f}% of {after['bound']} ({other - one:+.1f})"
    apart = after["ratio_min"] > before["ratio_max"] or after["ratio_max"] < before["ratio_min"]
    one, other = before["ratio_to_tamis"], after["ratio_to_tamis"]
    return f"{one:.2f} to {other:.2f} of Tamis's time" + (" *" if apart else "")


def compare(before: dict[tuple[Any, ...], Row], after: dict[tuple[Any, ...], Row]) -> list[str]:
    """A line for each row."""
    lines = []
    for key in before | after:
        name = " ".join(map(str, key))
        if key in before and key in after:
            lines.append(f"{name}: {line(before[key], after[key])}")
        else:
            lines.append(f"{name}: only in the {'second' if key in after else 'first'}")
    return lines


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description="two runs of the harness")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    print("\n".join(compare(rows_of(arguments.before), rows_of(arguments.after))))


if __name__ == "__main__":
    main()

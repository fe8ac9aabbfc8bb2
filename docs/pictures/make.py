"""Makes the pictures of the documents: from calls of the library, or from results of the benchmark.

They are committed. Without `--write` the pictures are made again and compared with the files: the
words must be the same, the coordinates within rounding. So are the tables of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import benchmarks
import dsa
import nsa
import states

FOLDER = Path(__file__).resolve().parent
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def same(made: str, there: str) -> bool:
    """Whether two pictures differ in nothing but the last digit of a coordinate."""
    if NUMBER.sub("", made) != NUMBER.sub("", there):
        return False
    pairs = zip(NUMBER.findall(made), NUMBER.findall(there), strict=True)
    return all(abs(float(a) - float(b)) < 0.11 for a, b in pairs)


def main() -> int:
    """Writes or compares all pictures."""
    parser = argparse.ArgumentParser(description="pictures of the documents")
    parser.add_argument("--write", action="store_true", help="write the files")
    write: bool = parser.parse_args().write
    made = nsa.pictures() | dsa.pictures() | states.pictures() | benchmarks.pictures()
    differ = []
    for name, picture in sorted(made.items()):
        path = FOLDER / name
        if write:
            path.write_text(picture, encoding="utf-8")
        elif not path.exists() or not same(picture, path.read_text(encoding="utf-8")):
            differ.append(name)
    page = benchmarks.page()
    if write:
        benchmarks.PAGE.write_text(page, encoding="utf-8")
    elif page != benchmarks.PAGE.read_text(encoding="utf-8"):
        differ.append(f"../{benchmarks.PAGE.name}")
    for name in differ:
        print(f"docs/pictures/{name} is not what its script makes; ./dev docs --pictures writes it")
    print(f"pictures: {len(made)} made, {len(differ)} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

"""Says in one line what a test run tested, and fails if that is not all there is here.

Reads the reports of the run: JSON of GoogleTest, JUnit XML of pytest and ctest. All there is: the
levels that this processor's flags promise, the operators that have a room in src/ops, and every
test, none skipped or disabled.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What a level needs, by the names of /proc/cpuinfo: the second opinion on what `tamis info` says.
AVX2 = {"avx2", "fma", "f16c", "bmi2"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}
LEVEL_FLAGS = {
    "avx2": AVX2,
    "avx2_vnni": AVX2 | {"avx_vnni"},
    "avx512": AVX512,
    "avx512_vnni": AVX512 | {"avx512_vnni"},
    "avx512_bf16": AVX512 | {"avx512_vnni", "avx512_bf16"},
}


# The line of a room's README after which the tables of an operator stand.
TABLES = re.compile(r"^<!-- contract:begin (\w+) -->$", re.MULTILINE)


@dataclass
class Suite:
    """The outcome of one test program."""

    run: int = 0
    not_run: int = 0  # skipped or disabled
    failed: int = 0
    properties: dict[str, set[str]] = field(default_factory=dict)

    def add(self, other: Suite) -> None:
        """Counts another program's outcome in."""
        self.run += other.run
        self.not_run += other.not_run
        self.failed += other.failed
        for name, words in other.properties.items():
            self.properties.setdefault(name, set()).update(words)


def read_gtest(path: Path) -> Suite:
    """A report of GoogleTest. Tests record the levels they ran at as the property `levels`."""
    suite = Suite()
    for group in json.loads(path.read_text(encoding="utf-8"))["testsuites"]:
        for test in group["testsuite"]:
            if test["result"] == "COMPLETED":
                suite.run += 1
            else:
                suite.not_run += 1
            suite.failed += 1 if test.get("failures") else 0
            suite.properties.setdefault("levels", set()).update(test.get("levels", "").split())
    return suite


def read_junit(path: Path) -> Suite:
    """A report of pytest. The properties of the run (`levels`, `operators`) are lists of words."""
    suite = Suite()
    for group in ET.parse(path).getroot().iter("testsuite"):
        tests, skipped = int(group.attrib["tests"]), int(group.attrib["skipped"])
        skipped += int(group.attrib.get("disabled", 0))
        suite.run += tests - skipped
        suite.not_run += skipped
        suite.failed += int(group.attrib["failures"]) + int(group.attrib.get("errors", 0))
        for entry in group.iterfind("properties/property"):
            words = entry.attrib["value"].split()
            suite.properties.setdefault(entry.attrib["name"], set()).update(words)
    return suite


def expected_levels(machine: str, flags: set[str]) -> list[str]:
    """The levels that a processor with these flags must offer, ascending."""
    levels = ["scalar"]
    if machine in ("x86_64", "AMD64"):
        levels += [level for level, needed in LEVEL_FLAGS.items() if needed <= flags]
    return levels


def processor_flags() -> set[str]:
    """The flags of the first processor of /proc/cpuinfo."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()


def rooms(root: Path) -> list[str]:
    """The operators that have a room: those whose tables stand in a README."""
    return sorted(
        name
        for readme in root.glob("src/ops/*/README.md")
        for name in TABLES.findall(readme.read_text(encoding="utf-8"))
    )


def problems(
    cpp: Suite,
    python: Suite | None,
    levels: list[str],
    operators: list[str],
    commands: Suite | None,
    libraries: list[str],
) -> list[str]:
    """Why this run is not what it should be; empty if it is. None is what was not asked for."""
    found = []
    for name, suite in (("C++", cpp), ("Python", python), ("command", commands)):
        if suite is None:
            continue
        if suite.run == 0:
            found.append(f"no {name} test ran")
        if suite.failed:
            found.append(f"{suite.failed} {name} tests failed")
        if suite.not_run:
            found.append(f"{suite.not_run} {name} tests were skipped or disabled")
    for name, suite in (("C++", cpp), ("Python", python)):
        if suite is not None:
            tested = suite.properties.get("levels", set())
            if tested != set(levels):
                found.append(f"{name} tests ran at levels {sorted(tested)}, expected {levels}")
    if python is not None:
        tested = python.properties.get("operators", set())
        if tested != set(operators):
            found.append(f"operators tested {sorted(tested)}, rooms {operators}")
        tested = python.properties.get("libraries", set())
        found += [f"no test of {library} ran" for library in libraries if library not in tested]
    return found


def main() -> int:
    """Prints the line, and what is wrong with it."""
    parser = argparse.ArgumentParser(description="what was tested")
    parser.add_argument("--reports", type=Path, required=True)
    parser.add_argument("--library", action="append", default=[], help="must have been tested with")
    parser.add_argument(
        "--cpp-at-ends", action="store_true", help="C++ only, at the lowest and the highest level"
    )
    arguments = parser.parse_args()
    reports: Path = arguments.reports
    cpp, python, commands = Suite(), Suite(), Suite()
    for report in sorted(reports.glob("*.json")):
        cpp.add(read_gtest(report))
    for report in sorted(reports.glob("*.xml")):
        (commands if report.name == "ctest.xml" else python).add(read_junit(report))
    levels = expected_levels(platform.machine(), processor_flags())
    tested = " ".join(sorted(cpp.properties.get("levels", ()), key=levels.index))
    if arguments.cpp_at_ends:
        print(f"tested: {cpp.run} C++ tests; levels {tested}")
        found = problems(cpp, None, [levels[0], levels[-1]], [], None, [])
    else:
        operators = rooms(ROOT)
        print(
            f"tested: {cpp.run} C++ tests, {python.run} Python tests, "
            f"{commands.run} test programs; levels {tested}; operators {' '.join(operators)}; "
            f"libraries {' '.join(sorted(python.properties.get('libraries', ())))}"
        )
        found = problems(cpp, python, levels, operators, commands, arguments.library)
    for line in found:
        print(f"not as expected: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

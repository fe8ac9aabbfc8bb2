"""The line of what was tested is only printed as good when all there is was tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from summarise_tests import Suite, expected_levels, problems, read_gtest, read_junit, rooms

LEVELS = ["scalar", "avx2"]
OPERATORS = ["left", "right"]


def good() -> dict[str, Suite]:
    return {
        "cpp": Suite(run=3, properties={"levels": set(LEVELS)}),
        "python": Suite(run=4, properties={"levels": set(LEVELS), "operators": set(OPERATORS)}),
        "commands": Suite(run=2),
    }


def test_all_there_is_has_no_problem() -> None:
    assert problems(**good(), levels=LEVELS, operators=OPERATORS, libraries=[]) == []


@pytest.mark.parametrize(
    ("suite", "change", "reason"),
    [
        ("cpp", Suite(failed=1), "1 C++ tests failed"),
        ("python", Suite(not_run=2), "2 Python tests were skipped"),
        ("cpp", Suite(run=-3), "no C++ test ran"),
        ("commands", Suite(run=-2), "no command test ran"),
        ("cpp", Suite(properties={"levels": {"avx512"}}), "C++ tests ran at levels"),
        ("python", Suite(properties={"operators": {"middle"}}), "operators tested"),
    ],
)
def test_a_gap_is_reported(suite: str, change: Suite, reason: str) -> None:
    suites = good()
    suites[suite].add(change)
    (found,) = problems(**suites, levels=LEVELS, operators=OPERATORS, libraries=[])
    assert reason in found


def test_of_a_run_of_c_plus_plus_alone_nothing_else_is_wanted() -> None:
    cpp = Suite(run=3, properties={"levels": {"scalar", "avx512"}})
    assert problems(cpp, None, ["scalar", "avx512"], OPERATORS, None, []) == []
    (found,) = problems(cpp, None, LEVELS, OPERATORS, None, [])
    assert found.startswith("C++ tests ran at levels")


def test_a_level_that_no_test_ran_at_is_reported() -> None:
    found = problems(**good(), levels=[*LEVELS, "avx512"], operators=OPERATORS, libraries=[])
    assert len(found) == 2


def test_a_library_that_no_test_used_is_reported() -> None:
    suites = good()
    found = problems(**suites, levels=LEVELS, operators=OPERATORS, libraries=["torch"])
    assert found == ["no test of torch ran"]
    suites["python"].add(Suite(properties={"libraries": {"torch"}}))
    assert problems(**suites, levels=LEVELS, operators=OPERATORS, libraries=["torch"]) == []


def test_levels_follow_the_flags_of_the_processor() -> None:
    avx2 = {"avx2", "fma", "f16c", "bmi2", "sse2"}
    avx512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}
    assert expected_levels("x86_64", {"sse2"}) == ["scalar"]
    assert expected_levels("x86_64", avx2) == ["scalar", "avx2"]
    assert expected_levels("x86_64", avx2 | avx512) == ["scalar", "avx2", "avx512"]
    vnni = avx2 | avx512 | {"avx512_vnni"}
    wide = ["scalar", "avx2", "avx512", "avx512_vnni"]
    assert expected_levels("x86_64", vnni) == wide
    assert expected_levels("x86_64", vnni | {"avx512_bf16"}) == [*wide, "avx512_bf16"]
    narrow = ["scalar", "avx2", "avx2_vnni"]
    assert expected_levels("x86_64", avx2 | {"avx_vnni"}) == narrow
    assert expected_levels("x86_64", vnni | {"avx_vnni"}) == [*narrow, "avx512", "avx512_vnni"]
    assert expected_levels("x86_64", avx512) == ["scalar"]
    assert expected_levels("aarch64", avx2) == ["scalar"]


def test_gtest_reports_count_runs_skips_failures_and_levels(tmp_path: Path) -> None:
    tests = [
        {"result": "COMPLETED", "levels": "scalar avx2 "},
        {"result": "COMPLETED", "failures": [{"failure": "x"}]},
        {"result": "SKIPPED"},
        {"result": "SUPPRESSED"},
    ]
    report = tmp_path / "a.json"
    report.write_text(json.dumps({"testsuites": [{"testsuite": tests}]}))
    assert read_gtest(report) == Suite(2, 2, 1, {"levels": {"scalar", "avx2"}})


def test_junit_reports_count_runs_skips_failures_and_properties(tmp_path: Path) -> None:
    report = tmp_path / "a.xml"
    report.write_text(
        '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="2"><properties>'
        '<property name="levels" value="scalar avx2"/></properties></testsuite></testsuites>'
    )
    assert read_junit(report) == Suite(3, 2, 2, {"levels": {"scalar", "avx2"}})


def test_operators_are_those_with_tables_in_a_readme(tmp_path: Path) -> None:
    for room, operators in (("one", ["right"]), ("two", ["up", "left"]), ("none", [])):
        (tmp_path / "src/ops" / room).mkdir(parents=True)
        lines = [f"<!-- contract:begin {operator} -->" for operator in operators]
        (tmp_path / "src/ops" / room / "README.md").write_text("\n".join(lines))
    (tmp_path / "src/ops/unfinished").mkdir()
    assert rooms(tmp_path) == ["left", "right", "up"]

"""The linter reads again what a change can have affected, and nothing that was missed."""

from __future__ import annotations

from pathlib import Path

from affected import affected, dependencies

LISTING = """\
core.dir/a.cc.o: #deps 2, deps mtime 1 (VALID)
    ../../src/a.cc
    ../../src/base/status.h

core.dir/b.cc.o: #deps 3, deps mtime 1 (VALID)
    ../../src/b.cc
    ../../src/base/status.h
    /usr/include/stdio.h

"""
BUILD = Path("/tree/build/release")
A, B, NEW, STATUS = (Path("/tree/src") / name for name in ("a.cc", "b.cc", "c.cc", "base/status.h"))
SYSTEM = Path("/usr/include/stdio.h")


def test_ninja_lists_what_each_source_includes() -> None:
    assert dependencies(LISTING, BUILD) == {A: {A, STATUS}, B: {B, STATUS, SYSTEM}}


def test_a_source_compiled_twice_has_what_either_includes() -> None:
    twice = (
        LISTING + "tests.dir/a.cc.o: #deps 2, deps mtime 1 (VALID)\n    ../../src/a.cc\n    /x.h\n"
    )
    assert dependencies(twice, BUILD)[A] == {A, STATUS, Path("/x.h")}


def test_a_changed_file_affects_itself_and_whoever_includes_it() -> None:
    includes = dependencies(LISTING, BUILD)
    assert affected([A, B], {A}, includes) == [A]
    assert affected([A, B], {STATUS}, includes) == [A, B]
    assert affected([A, B], {Path("/tree/README.md")}, includes) == []


def test_a_source_that_the_build_does_not_know_is_affected() -> None:
    assert affected([A, NEW], set(), dependencies(LISTING, BUILD)) == [NEW]

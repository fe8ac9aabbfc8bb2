"""The wheel holds what pip needs, and its checker sees what a system may lack."""

from __future__ import annotations

import tomllib

import pytest
from check_docs import ROOT
from check_wheel import BINARIES, HOLDS, check_contents, check_sources, demands, version

DUMP = """\
  NEEDED               libm.so.6
  NEEDED               libgcc_s.so.1
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.34) pthread_create
0000000000000000  w   D  *UND*\t0000000000000000  Base        __gmon_start__
0000000000012340 g    DF .text\t0000000000000010  Base        tamis_version
"""


def demands_of(binary: str, dump: str) -> list[str]:
    return demands(dump, *BINARIES[binary])


@pytest.mark.parametrize("binary", BINARIES)
def test_a_binary_for_glibc_2_34_has_no_other_demands(binary: str) -> None:
    assert demands_of(binary, DUMP) == []


UNDEFINED = "0000000000000000      DF *UND*\t0000000000000000 "


@pytest.mark.parametrize("binary", BINARIES)
def test_newer_glibc_cpython_and_other_libraries_are_seen(binary: str) -> None:
    assert demands_of(binary, f"{UNDEFINED}(GLIBC_2.35) hypot\n") == ["hypot wants GLIBC 2.35"]
    python = demands_of(binary, f"{UNDEFINED} Base        PyLong_Type\n")
    assert python == ["PyLong_Type is of CPython"]
    assert demands_of(binary, "  NEEDED               libgomp.so.1\n") == ["needs libgomp.so.1"]


def test_only_pytorchs_operators_may_want_the_cxx_runtime_that_pytorch_brings() -> None:
    old, new = f"{UNDEFINED}(GLIBCXX_3.4) _ZSt3cin\n", f"{UNDEFINED}(GLIBCXX_3.4.30) _ZSt3new\n"
    needed = "  NEEDED               libtorch_cpu.so\n"
    for binary in ("lib/libtamis.so", "bin/tamis"):
        assert demands_of(binary, old) == ["_ZSt3cin wants the C++ runtime"]
        assert demands_of(binary, needed) == ["needs libtorch_cpu.so"]
    assert demands_of("lib/libtamis_torch.so", old + needed) == []
    assert demands_of("lib/libtamis_torch.so", new) == ["_ZSt3new wants GLIBCXX 3.4.30"]


def whole() -> set[str]:
    package = ROOT / "python"
    python = {file.relative_to(package).as_posix() for file in (package / "tamis").rglob("*.py")}
    assert "tamis/torch/__init__.py" in python
    return python | {name.format(version=version()) for name in HOLDS}


@pytest.mark.parametrize("name", HOLDS)
def test_a_wheel_without_its_native_half_or_its_licences_is_refused(name: str) -> None:
    lacking = name.format(version=version())
    assert check_contents(whole() - {lacking}) == [f"the wheel lacks {lacking}"]


def test_a_whole_wheel_is_accepted_and_what_is_not_the_packages_is_seen() -> None:
    info = f"tamis-{version()}.dist-info/RECORD"
    assert check_contents(whole() | {info}) == []
    assert check_contents(whole() | {"tests/conftest.py"}) == ["the wheel holds tests/conftest.py"]


def test_an_empty_wheel_is_refused() -> None:
    assert "the wheel lacks tamis/__init__.py" in check_contents(set())


def test_sources_are_what_git_knows_but_for_ci() -> None:
    tracked = {"dev", "src/a.cc", ".ci/run"}
    held = {f"tamis-{version()}/{name}" for name in ("dev", "src/a.cc", "PKG-INFO")}
    assert check_sources(held, tracked) == []
    assert check_sources(held - {f"tamis-{version()}/dev"}, tracked) == ["the sources lack dev"]
    assert check_sources(held | {f"tamis-{version()}/x"}, tracked) == ["the sources hold x"]


def test_the_notices_name_those_whose_headers_are_compiled_in() -> None:
    notices = (ROOT / "licenses/CLI11.txt", ROOT / "licenses/nlohmann-json.txt")
    cli11, json = (path.read_text(encoding="utf-8") for path in notices)
    assert "University of Cincinnati" in cli11
    assert "Redistributions in binary form" in cli11
    assert "Niels Lohmann" in json
    assert "Permission is hereby granted, free of charge" in json


def test_pip_is_told_what_the_package_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(project["dependencies"]) == ["ml_dtypes>=0.5", "numpy>=2"]
    assert project["optional-dependencies"]["torch"] == ["torch>=2.10"]
    assert project["scripts"] == {"tamis": "tamis.__main__:main"}
    assert project["license-files"] == ["LICENSE", "licenses/*.txt"]

"""The wheel holds what pip needs, and its checker sees what a system may lack."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from check_docs import ROOT
from check_wheel import BINARIES, demands
from make_wheel import digest, make, tag

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


def make_one(tmp_path: Path) -> Path:
    native = tmp_path / "native"
    native.mkdir(exist_ok=True)
    (native / "libtamis.so").write_bytes(b"library")
    (native / "libtamis_torch.so").write_bytes(b"operators")
    (native / "tamis").write_bytes(b"binary")
    return make(ROOT, native, tmp_path / "dist")


def test_the_wheel_holds_the_package_the_library_and_the_command_line(tmp_path: Path) -> None:
    path = make_one(tmp_path)
    version = (ROOT / "VERSION").read_text().strip()
    assert path.name == f"tamis-{version}-{tag()}.whl"
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        assert len(names) == len(set(names))
        python = {
            file.relative_to(ROOT / "python").as_posix()
            for file in (ROOT / "python/tamis").rglob("*.py")
        }
        assert "tamis/torch/__init__.py" in python
        assert python | {"tamis/py.typed"} <= set(names)
        assert wheel.read("tamis/lib/libtamis.so") == b"library"
        assert wheel.read("tamis/lib/libtamis_torch.so") == b"operators"
        assert wheel.getinfo("tamis/bin/tamis").external_attr >> 16 & 0o111 == 0o111
        metadata = wheel.read(f"tamis-{version}.dist-info/METADATA").decode()
        assert f"\nVersion: {version}\n" in metadata
        assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
            "Requires-Dist: numpy>=2",
            "Requires-Dist: ml_dtypes>=0.5",
            'Requires-Dist: torch>=2.10; extra == "torch"',
        ]
        record = wheel.read(f"tamis-{version}.dist-info/RECORD").decode().splitlines()
        assert len(record) == len(names)
        for line in record[:-1]:
            name, hashed, size = line.split(",")
            assert (hashed, int(size)) == (digest(wheel.read(name)), len(wheel.read(name)))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = make_one(tmp_path).read_bytes()
    assert make_one(tmp_path).read_bytes() == first

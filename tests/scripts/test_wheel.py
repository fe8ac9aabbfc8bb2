"""The wheel holds what pip needs, and its checker sees what a system may lack."""

from __future__ import annotations

import zipfile
from pathlib import Path

from check_docs import ROOT
from check_wheel import demands
from make_wheel import digest, make, tag

DUMP = """\
  NEEDED               libm.so.6
  NEEDED               libgcc_s.so.1
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.34) pthread_create
0000000000000000  w   D  *UND*\t0000000000000000  Base        __gmon_start__
0000000000012340 g    DF .text\t0000000000000010  Base        tamis_version
"""


def test_a_binary_for_glibc_2_34_has_no_other_demands() -> None:
    assert demands(DUMP) == []


def test_newer_glibc_the_cxx_runtime_and_cpython_are_seen() -> None:
    undefined = "0000000000000000      DF *UND*\t0000000000000000 "
    assert demands(f"{undefined}(GLIBC_2.35) hypot\n") == ["hypot wants glibc 2.35"]
    assert demands(f"{undefined}(GLIBCXX_3.4) _ZSt3cin\n") == ["_ZSt3cin wants the C++ runtime"]
    assert demands(f"{undefined} Base        PyLong_Type\n") == ["PyLong_Type is of CPython"]
    assert demands("  NEEDED               libgomp.so.1\n") == ["needs libgomp.so.1"]


def make_one(tmp_path: Path) -> Path:
    native = tmp_path / "native"
    native.mkdir(exist_ok=True)
    (native / "libtamis.so").write_bytes(b"library")
    (native / "tamis").write_bytes(b"binary")
    return make(ROOT, native, tmp_path / "dist")


def test_the_wheel_holds_the_package_the_library_and_the_command_line(tmp_path: Path) -> None:
    path = make_one(tmp_path)
    version = (ROOT / "VERSION").read_text().strip()
    assert path.name == f"tamis-{version}-{tag()}.whl"
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        assert len(names) == len(set(names))
        python = {f"tamis/{file.name}" for file in (ROOT / "python/tamis").glob("*.py")}
        assert python | {"tamis/py.typed"} <= set(names)
        assert wheel.read("tamis/lib/libtamis.so") == b"library"
        assert wheel.getinfo("tamis/bin/tamis").external_attr >> 16 & 0o111 == 0o111
        metadata = wheel.read(f"tamis-{version}.dist-info/METADATA").decode()
        assert f"\nVersion: {version}\n" in metadata
        assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
            "Requires-Dist: numpy>=2",
            "Requires-Dist: ml_dtypes>=0.5",
        ]
        record = wheel.read(f"tamis-{version}.dist-info/RECORD").decode().splitlines()
        assert len(record) == len(names)
        for line in record[:-1]:
            name, hashed, size = line.split(",")
            assert (hashed, int(size)) == (digest(wheel.read(name)), len(wheel.read(name)))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = make_one(tmp_path).read_bytes()
    assert make_one(tmp_path).read_bytes() == first

"""The package as it is installed: what importing does, where the library comes from, `-m`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from python_calls import BINARY, ROOT

import tamis
from tamis import _library


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_loads_neither_torch_nor_jax_nor_the_library() -> None:
    code = """
import sys, tamis
assert not {"torch", "jax", "subprocess"} & sys.modules.keys()
assert "libtamis" not in open("/proc/self/maps").read()
"""
    done = run_python("-c", code, TAMIS_LIBRARY="/nowhere")
    assert done.returncode == 0, done.stderr


def test_calling_imports_neither_torch_nor_jax() -> None:
    code = """
import sys, numpy, tamis
tamis.nd_to_nz(numpy.zeros((16, 16), numpy.float16))
assert not {"torch", "jax"} & sys.modules.keys()
"""
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr


def test_no_folder_here_is_taken_for_torch() -> None:
    for folder in (ROOT, ROOT / "tests"):  # Python that runs there would import it
        assert not (folder / "torch").exists()


def test_a_library_that_is_not_there_is_an_error_that_says_where_was_looked() -> None:
    code = "import numpy, tamis; tamis.nd_to_nz(numpy.zeros((16, 16), numpy.float16))"
    done = run_python("-c", code, TAMIS_LIBRARY="/nowhere/libtamis.so")
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line == "FileNotFoundError: TAMIS_LIBRARY: expected a file, got /nowhere/libtamis.so"


def test_lookup_prefers_the_environment_then_the_package_then_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "python" / "tamis"
    named, packaged = tmp_path / "named.so", home / "lib" / "lib.so"
    built = tmp_path / "build" / "release" / "lib.so"
    monkeypatch.setattr(_library, "HERE", home)
    monkeypatch.delenv("TAMIS_X", raising=False)
    with pytest.raises(FileNotFoundError, match=f"{packaged} nor at {built}; .* TAMIS_X"):
        _library.find(packaged, "TAMIS_X", "lib.so")
    for path in (built, packaged, named):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if path is named:
            monkeypatch.setenv("TAMIS_X", str(named))
        assert _library.find(packaged, "TAMIS_X", "lib.so") == path


def test_the_module_is_the_command_line() -> None:
    for arguments in (["info", "--json"], ["ops"], ["ops", "no_such_operator"]):
        direct = subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=False)
        module = run_python("-m", "tamis", *arguments)
        assert module.returncode == direct.returncode
        assert (module.stdout, module.stderr) == (direct.stdout, direct.stderr)
    assert direct.returncode == 2


def test_the_module_says_in_one_line_that_there_is_no_binary() -> None:
    done = run_python("-m", "tamis", TAMIS_BINARY="/nowhere/tamis")
    assert done.returncode == 2
    assert done.stderr == "tamis: TAMIS_BINARY: expected a file, got /nowhere/tamis\n"


def test_a_package_built_without_the_command_line_says_what_it_needs(tmp_path: Path) -> None:
    installed = shutil.copytree(ROOT / "python/tamis", tmp_path / "site" / "tamis")
    done = run_python("-m", "tamis", "info", PYTHONPATH=str(installed.parent), TAMIS_BINARY="")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"tamis: tamis: not found at {installed}/bin/tamis nor at ")
    assert "libcli11-dev, nlohmann-json3-dev" in line


def test_without_torch_its_module_says_in_one_line_what_to_install() -> None:
    hidden = "import sys; sys.modules['torch'] = None; import tamis.torch"
    done = run_python("-c", hidden)
    assert done.returncode == 1
    line = "tamis.torch: needs torch 2.10 or later, which is not installed here: pip install torch"
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {line}"


def test_the_version_is_the_librarys() -> None:
    assert tamis.__version__ == (ROOT / "VERSION").read_text().strip()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tamis.nothing


def test_unknown_operators_have_no_description() -> None:
    with pytest.raises(ValueError, match="operator: expected one of nsa_compress, "):
        tamis.describe("nothing")


def test_types_are_marked_as_such() -> None:
    assert (ROOT / "python/tamis/py.typed").exists()

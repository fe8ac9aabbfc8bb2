"""Checks a wheel, as a person meets it who has nothing else.

What its binaries want from the system, that pip installs it, that the README's Python runs; with
`--torch`, that PyTorch loads its operators from it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from check_docs import ROOT, blocks_of

SYSTEM = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libpthread.so.0"}
Versions = dict[str, tuple[int, ...]]
GLIBC: Versions = {"GLIBC": (2, 34)}
# PyTorch brings these; the runtime is the one that goes with glibc 2.34 (gcc 11).
TORCH = {"libtamis.so", "libtorch_cpu.so", "libstdc++.so.6"}
CXX: Versions = {"GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
# What each binary may want beyond the system: libraries, and versions of symbols.
BINARIES: dict[str, tuple[set[str], Versions]] = {
    "lib/libtamis.so": (SYSTEM, GLIBC),
    "bin/tamis": (SYSTEM, GLIBC),
    "lib/libtamis_torch.so": (SYSTEM | TORCH, GLIBC | CXX),
}
VERSIONED = re.compile(r"\((\w+?)_([0-9.]+)\)")
NEEDED = re.compile(r"NEEDED\s+(\S+)")


def demands(dump: str, libraries: set[str], newest: Versions) -> list[str]:
    """What `objdump -pT` shows that the system may lack."""
    found = [f"needs {name}" for name in NEEDED.findall(dump) if name not in libraries]
    for line in dump.splitlines():
        symbol = line.split()[-1] if line.split() else ""
        for family, version in VERSIONED.findall(line):
            if family not in ("GLIBC", "GLIBCXX", "CXXABI"):
                continue
            if family not in newest:
                found.append(f"{symbol} wants the C++ runtime")
            elif tuple(int(part) for part in version.split(".")) > newest[family]:
                found.append(f"{symbol} wants {family} {version}")
        if re.match(r".*\*UND\*.*\s_?Py[A-Z_]\w*$", line):
            found.append(f"{symbol} is of CPython")
    return found


def check_binaries(folder: Path) -> list[str]:
    """Complaints about the native files of an unpacked wheel."""
    complaints = []
    for name, (libraries, newest) in BINARIES.items():
        command: list[str | Path] = ["objdump", "-pT", folder / "tamis" / name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        complaints += [f"{name}: {line}" for line in demands(done.stdout, libraries, newest)]
    return complaints


def run(command: list[str | Path], folder: Path, **changes: str) -> str | None:
    """What a failing command printed, or None."""
    hidden = ("PYTHONPATH", "TAMIS_LIBRARY", "TAMIS_BINARY")
    environment = {n: value for n, value in os.environ.items() if n not in hidden} | changes
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def check_installation(wheel: Path, folder: Path, torch: Path | None) -> list[str]:
    """Complaints of pip and of code in a fresh environment."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", wheel.resolve()]
    failure = run([*pip, "--disable-pip-version-check"], folder)
    if failure:
        return [f"pip: {failure}"]
    packages = "import sys, tamis; assert not {'torch', 'jax'} & sys.modules.keys()"
    commands: dict[str, list[str | Path]] = {
        "import": [python, "-c", packages],
        "command line": [python, "-m", "tamis", "info"],
    }
    failures = {name: run(command, folder) for name, command in commands.items()}
    for block in blocks_of(ROOT / "README.md"):
        if block.language == "python" and (torch is not None or not block.needs_torch):
            beside = {"PYTHONPATH": str(torch.parent)} if torch and block.needs_torch else {}
            name = f"README.md:{block.line}"
            failures[name] = run([python, "-c", block.code], folder, **beside)
    return [f"{name}: {failure}" for name, failure in failures.items() if failure]


def main() -> int:
    """Check the wheel that is named."""
    parser = argparse.ArgumentParser(description="check a wheel")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--torch", type=Path, help="folder of an installed torch package")
    arguments = parser.parse_args()
    wheel: Path = arguments.wheel
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "unpacked")
        complaints = check_binaries(folder / "unpacked") + check_installation(
            wheel, folder, arguments.torch
        )
    for line in complaints:
        print(line, file=sys.stderr)
    if not complaints:
        size = wheel.stat().st_size / 1e6
        print(f"{wheel}: {size:.1f} MB, glibc 2.34 or later, installs and runs the README's Python")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

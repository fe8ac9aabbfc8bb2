"""Checks a wheel, as a person meets it who has nothing else.

What its binaries want from the system, that pip installs it, that the README's Python runs.
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

GLIBC = (2, 34)
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libpthread.so.0"}
VERSIONED = re.compile(r"\((\w+?)_([0-9.]+)\)")
NEEDED = re.compile(r"NEEDED\s+(\S+)")


def demands(dump: str) -> list[str]:
    """What `objdump -pT` shows that a Linux with this glibc may lack."""
    found = [f"needs {name}" for name in NEEDED.findall(dump) if name not in LIBRARIES]
    for line in dump.splitlines():
        symbol = line.split()[-1] if line.split() else ""
        for family, version in VERSIONED.findall(line):
            parts = tuple(int(part) for part in version.split("."))
            if family == "GLIBC" and parts > GLIBC:
                found.append(f"{symbol} wants glibc {version}")
            elif family in ("GLIBCXX", "CXXABI"):
                found.append(f"{symbol} wants the C++ runtime")
        if re.match(r".*\*UND\*.*\s_?Py[A-Z_]\w*$", line):
            found.append(f"{symbol} is of CPython")
    return found


def check_binaries(folder: Path) -> list[str]:
    """Complaints about the native files of an unpacked wheel."""
    complaints = []
    for name in ("lib/libtamis.so", "bin/tamis"):
        command: list[str | Path] = ["objdump", "-pT", folder / "tamis" / name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        complaints += [f"{name}: {line}" for line in demands(done.stdout)]
    return complaints


def run(command: list[str | Path], folder: Path, **changes: str) -> str | None:
    """What a failing command printed, or None."""
    hidden = ("PYTHONPATH", "TAMIS_LIBRARY", "TAMIS_BINARY")
    environment = {n: value for n, value in os.environ.items() if n not in hidden} | changes
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def check_installation(wheel: Path, folder: Path) -> list[str]:
    """Complaints of pip and of the README's code in a fresh environment."""
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
    for block in blocks_of(ROOT / "README.md"):
        if block.language == "python":
            commands[f"README.md:{block.line}"] = [python, "-c", block.code]
    failures = {name: run(command, folder) for name, command in commands.items()}
    return [f"{name}: {failure}" for name, failure in failures.items() if failure]


def main() -> int:
    """Check the wheel that is named."""
    parser = argparse.ArgumentParser(description="check a wheel")
    parser.add_argument("wheel", type=Path)
    wheel: Path = parser.parse_args().wheel
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "unpacked")
        complaints = check_binaries(folder / "unpacked") + check_installation(wheel, folder)
    for line in complaints:
        print(line, file=sys.stderr)
    if not complaints:
        size = wheel.stat().st_size / 1e6
        print(f"{wheel}: {size:.1f} MB, glibc 2.34 or later, installs and runs the README's Python")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

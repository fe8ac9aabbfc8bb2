"""Checks what pip makes of the tree and of its source distribution.

Two builds of everything, each by pip in isolation and in a fresh environment: the tree as `pip
install .` finds it, and the sources on a machine that lacks the header libraries of the command
line but has torch. What was left out must say in one line what to do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from check_docs import ROOT
from check_wheel import check_command, check_python, install


def check_refusal(command: list[str | Path], folder: Path, *says: str) -> list[str]:
    """The command fails, and its last line says so."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines() or [""]
    if done.returncode != 0 and all(word in lines[-1] for word in says):
        return []
    shown = " ".join(str(word) for word in command)
    return [f"{shown}: expected a line with {says}, got {done.returncode}, {lines[-1]!r}"]


def check_tree(folder: Path) -> list[str]:
    """`pip install .`, where torch is not."""
    python, failure = install(folder, [ROOT])
    if failure:
        return [f"pip install .: {failure}"]
    importing: list[str | Path] = [python, "-c", "import tamis.torch"]
    return [
        *check_command(python, folder),
        *check_python(python, folder, None),
        *check_refusal(importing, folder, "tamis.torch: needs torch 2.10", "pip install torch"),
    ]


def check_sources(sources: Path, folder: Path, torch: Path) -> list[str]:
    """`pip install tamis.tar.gz` without CLI11, with torch."""
    without = "--config-settings=cmake.define.CMAKE_DISABLE_FIND_PACKAGE_CLI11=ON"
    python, failure = install(folder, [without, sources.resolve()], TAMIS_TORCH_ROOT=str(torch))
    if failure:
        return [f"pip install {sources}: {failure}"]
    command: list[str | Path] = [python.parent / "tamis", "info"]
    packages = ("libcli11-dev", "nlohmann-json3-dev")
    return check_refusal(command, folder, *packages) + check_python(python, folder, torch)


def main() -> int:
    """Check both."""
    parser = argparse.ArgumentParser(description="check what pip makes of the sources")
    parser.add_argument("sources", type=Path, help="the source distribution")
    parser.add_argument("--torch", type=Path, required=True, help="folder of a torch package")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as tree, tempfile.TemporaryDirectory() as unpacked:
        complaints = check_tree(Path(tree))
        complaints += check_sources(arguments.sources, Path(unpacked), arguments.torch)
    for line in complaints:
        print(line, file=sys.stderr)
    if not complaints:
        print("pip install . and the source distribution give the library and say what they lack")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

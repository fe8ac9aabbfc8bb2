"""Checks who includes whom: the floors of the house, its rooms, and the files compiled per level.

    include/tamis <- base <- simd, parallel <- prim <- ops/<operator> <- registry <- capi
        <- bench, tools/describe <- tools/tamis, tools/generate

The rules and their reasons stand in CONTRIBUTING.md ("Who includes whom"). Prints one line per
breach and exits 1, or prints nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path, PurePosixPath

FLOORS = {
    "tamis": 0,
    "base": 1,
    "simd": 2,
    "parallel": 2,
    "prim": 3,
    "ops": 4,
    "registry": 5,
    "capi": 6,
    "bench": 7,
    "tools/describe": 7,
    "tools/tamis": 8,
    "tools/generate": 8,
}

# What public headers may take: C++ headers (no extension) and these of C. The device's C calls do
# their work in headers, and take more of C.
STANDARD_CPP = re.compile(r"[a-z_]+")
STANDARD_C = {"stdbool.h", "stddef.h", "stdint.h"}
DEVICE_CALLS = "include/tamis/compat/ascend"
STANDARD_C_OF_DEVICE_CALLS = STANDARD_C | {"errno.h", "stdarg.h", "stdio.h", "stdlib.h", "string.h"}
# The C++20 headers that g++ 12 or clang 14 lack, wholly or in part.
TOO_NEW = {"ranges", "format", "expected", "print", "generator", "mdspan", "flat_map"}

LEVEL_SYSTEM_HEADERS = {"stddef.h", "stdint.h"}
SIMD_SYSTEM_HEADERS = LEVEL_SYSTEM_HEADERS | {"immintrin.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TEST_FILE = re.compile(r"/(\w+_)?test\.cc$|/test_\w+\.h$")
SOURCES = ("*.cc", "*.c", "*.h", "*.hpp")
FOLDERS = ("include", "src", "pytorch", "tools", "tests", "bench", "examples")

# PyTorch's stable interface, and nothing else of it.
STABLE_TORCH = ("torch/csrc/stable/", "torch/csrc/inductor/aoti_torch/c/shim.h")


def home(path: str) -> str:
    """The folder that owns a file: 'tamis' (public), a folder of src or tools, or 'tests', ..."""
    parts = PurePosixPath(path).parts
    if parts[0] == "include":
        return "tamis"
    if parts[0] == "tools":
        return "/".join(parts[:2])
    return parts[1] if parts[0] == "src" else parts[0]


def room(path: str) -> str | None:
    """The operator whose room holds a file below src/ops."""
    parts = PurePosixPath(path).parts
    return parts[2] if parts[:2] == ("src", "ops") and len(parts) > 3 else None


def starts_level(path: str) -> bool:
    """Whether a file is known by its name to be compiled with -m flags."""
    return home(path) == "simd" or path.endswith("-inl.h")


def may_join_level(path: str) -> bool:
    """Whether files of a level may include a file, which is then held to their rules."""
    return home(path) in ("simd", "prim", "ops")


def includes_of(text: str) -> list[tuple[int, bool, str]]:
    """(line, is it in angle brackets, what) of every include of a file."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            found.append((number, match[1] == "<", match[2]))
    return found


def resolve(root: Path, path: str, target: str) -> str | None:
    """The file of the tree that a quoted include names, as a path from the root."""
    own = PurePosixPath(path).parent.as_posix()
    for base in ("include", "src", ".", own, DEVICE_CALLS):
        candidate = root / base / target
        if candidate.is_file():
            return candidate.resolve().relative_to(root.resolve()).as_posix()
    # Written by cmake/levels.cmake: as if it lay beside the kernels that it lists.
    if target.endswith("_units.h"):
        kernels = target.removesuffix("_units.h") + "-inl.h"
        for base in ("src", "."):
            if (root / base / kernels).is_file():
                return (PurePosixPath(base) / target).as_posix()
    return None


def check_system(path: str, target: str, level: bool) -> str | None:
    """What is wrong with an include in angle brackets, or None."""
    owner = home(path)
    if target.startswith(("nlohmann/", "CLI/")):
        if owner in ("tools/tamis", "bench"):
            return None
        return "json and CLI11 belong to tools/tamis and bench only"
    if owner == "pytorch" and target.startswith(STABLE_TORCH):
        return None
    if target.startswith(("cuda", "torch/", "ATen/", "omp.h")):
        return "no CUDA, torch or OpenMP header in this tree"
    if target in TOO_NEW:
        return "g++ 12 and clang 14 must build this tree, and lack it"
    if level:
        allowed = SIMD_SYSTEM_HEADERS if owner == "simd" else LEVEL_SYSTEM_HEADERS
        if path == "src/simd/scalar.h":
            allowed = LEVEL_SYSTEM_HEADERS | {"math.h"}  # has no -m flags to leak
        if target not in allowed:
            return "files of a level see nothing of the C++ library: its inline functions leak"
    standard = STANDARD_C_OF_DEVICE_CALLS if path.startswith(DEVICE_CALLS) else STANDARD_C
    if owner == "tamis" and target not in standard and not STANDARD_CPP.fullmatch(target):
        return "public headers include only themselves and the standard library"
    return None


def check_project(path: str, target: str, level: bool) -> str | None:
    """What is wrong with an include of a file of this tree (a path from the root), or None."""
    owner, theirs = home(path), home(target)
    if owner in ("tests", "bench") or TEST_FILE.search(path):
        return None  # they look at everything
    if owner == "examples":
        own = PurePosixPath(path).parent == PurePosixPath(target).parent
        return None if own or theirs == "tamis" else "an example includes only what is installed"
    if owner == "tamis":
        return None if theirs == "tamis" else "public headers include only themselves"
    if owner == "pytorch":
        allowed = theirs in ("tamis", "pytorch")
        return None if allowed else "pytorch/ includes only what is installed"
    if theirs not in FLOORS:
        return f"{theirs}/ is not part of the library"
    if level and not may_join_level(target):
        return "files of a level include only simd/, prim/ and their room's headers"
    if owner == theirs:
        mine, other = room(path), room(target)
        if mine is not None and other != mine:
            return f"no room includes another room: what two share moves down into prim ({other})"
        return None
    if FLOORS[theirs] >= FLOORS[owner]:
        return f"{owner} does not include {theirs}: floors are built from below"
    return None


def level_files(root: Path, paths: list[str]) -> set[str]:
    """The files that are compiled with -m flags, and all that those include."""
    found: set[str] = set()
    pending = [path for path in paths if starts_level(path)]
    while pending:
        path = pending.pop()
        if path in found:
            continue
        found.add(path)
        for _, angled, target in includes_of((root / path).read_text(encoding="utf-8")):
            included = None if angled else resolve(root, path, target)
            if included is not None and may_join_level(included):
                pending.append(included)
    return found


def check_file(root: Path, path: str, level: bool) -> list[str]:
    """One line per breach in a file: 'path:line: #include X: why'."""
    breaches = []
    text = (root / path).read_text(encoding="utf-8")
    for line, angled, target in includes_of(text):
        problem: str | None
        if angled:
            problem = check_system(path, target, level)
        else:
            found = resolve(root, path, target)
            problem = (
                "no such file in the tree" if found is None else check_project(path, found, level)
            )
        if problem is not None:
            breaches.append(f"{path}:{line}: #include {target}: {problem}")
    return breaches


def check_tree(root: Path) -> list[str]:
    """The breaches of all sources below `root`."""
    paths = [
        file.relative_to(root).as_posix()
        for folder in FOLDERS
        for pattern in SOURCES
        for file in sorted((root / folder).rglob(pattern))
    ]
    level = level_files(root, paths)
    return [breach for path in paths for breach in check_file(root, path, path in level)]


def main() -> int:
    """Checks the tree that holds this script, or another one."""
    parser = argparse.ArgumentParser(description="who includes whom")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    breaches = check_tree(parser.parse_args().root)
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())

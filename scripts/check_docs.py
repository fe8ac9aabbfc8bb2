"""Checks the documents: links lead somewhere, and fenced code runs.

```cpp, ```c    a whole program: compiled against the installed library, must exit with 0
```bash         run with `tamis` on the path; the blocks of a document share a folder
```python       run with the package and library of the build; torch and jax where they are
``` and others  shown, not run, as is all indented code
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Modules that may be absent, and those that import them.
OPTIONAL = {"torch": r"torch|tamis\.(torch|nn|npu_compat)", "jax": "jax"}


@dataclass
class Block:
    """Fenced code: where, in what language, and what."""

    document: Path
    line: int
    language: str
    code: str

    @property
    def needs(self) -> set[str]:
        """Modules that may be absent, and that it imports, or has imported by one of tamis."""
        return {
            module
            for module, names in OPTIONAL.items()
            if self.language == "python"
            and re.search(rf"^\s*(import|from) ({names})\b", self.code, re.MULTILINE)
        }


def documents(root: Path) -> list[Path]:
    """All Markdown files but those of build folders."""
    return [
        path
        for path in sorted(root.rglob("*.md"))
        if path.relative_to(root).parts[0] not in ("build", "dist")
    ]


def blocks_of(document: Path) -> list[Block]:
    """The fenced code of a document."""
    blocks: list[Block] = []
    block: Block | None = None
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            if block is not None:
                block.code += line + "\n"
        elif block is None:
            block = Block(document, number + 1, line[3:].strip(), "")
        else:
            blocks.append(block)
            block = None
    if block is not None:
        raise ValueError(f"{document}:{block.line}: the fence is never closed")
    return blocks


def broken_links(document: Path) -> list[str]:
    """Relative links to files that are not there."""
    broken = []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            if not (document.parent / target.partition("#")[0]).exists():
                broken.append(f"{document}:{number}: link to {target}, which is not there")
    return broken


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str | None:
    """What a failing command printed, or None."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    return f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


def install(build: Path, prefix: Path) -> None:
    """The library as a user has it."""
    subprocess.run(
        ["cmake", "--install", str(build), "--prefix", str(prefix)],
        check=True,
        capture_output=True,
    )


def make_checks(build: Path, prefix: Path) -> dict[str, Callable[[Block, Path], str | None]]:
    """How each language is checked."""
    environment = {
        **os.environ,
        "PATH": f"{build.resolve() / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "python"),
        "TAMIS_BINARY": str(build.resolve() / "bin" / "tamis"),
        "TAMIS_LIBRARY": str(next(prefix.rglob("libtamis.so"))),
        "TAMIS_TORCH_LIBRARY": str(build.resolve() / "pytorch" / "libtamis_torch.so"),
    }
    library = next(prefix.rglob("libtamis.so")).parent
    flags = [f"-I{prefix / 'include'}", f"-L{library}", "-ltamis", f"-Wl,-rpath,{library}"]

    def program(compiler: list[str], suffix: str) -> Callable[[Block, Path], str | None]:
        def check(block: Block, folder: Path) -> str | None:
            source = folder / f"program{suffix}"
            source.write_text(block.code, encoding="utf-8")
            command = [*compiler, "-Wall", "-Wextra", "-Werror", str(source), *flags]
            failure = run([*command, "-o", "program"], folder, environment)
            return failure or run(["./program"], folder, environment)

        return check

    def shell(block: Block, folder: Path) -> str | None:
        return run(["bash", "-euo", "pipefail", "-c", block.code], folder, environment)

    def python(block: Block, folder: Path) -> str | None:
        return run([sys.executable, "-c", block.code], folder, environment)

    return {
        "cpp": program(["g++", "-std=c++20"], ".cc"),
        "c": program(["gcc", "-std=c99"], ".c"),
        "bash": shell,
        "python": python,
    }


def summary(pages: int, ran: int, counts: dict[str, int], absent: set[str], failures: int) -> str:
    """One line: what was run, and what was not because a module is absent."""
    needs = [
        f"{count} more need {module}" if module in absent else f"{count} of them with {module}"
        for module, count in counts.items()
    ]
    blocks = ", ".join([f"{ran} blocks of code run", *needs])
    return f"docs: {pages} documents, {blocks}, {failures} failures"


def main() -> int:
    """Checks all documents of the tree."""
    parser = argparse.ArgumentParser(description="links and code of the documents")
    parser.add_argument("--build", type=Path, required=True, help="a build of the library")
    build: Path = parser.parse_args().build
    absent = {module for module in OPTIONAL if importlib.util.find_spec(module) is None}
    counts = dict.fromkeys(OPTIONAL, 0)
    pages = documents(ROOT)
    failures: list[str] = []
    ran = 0
    with tempfile.TemporaryDirectory() as temporary:
        prefix = Path(temporary) / "prefix"
        install(build, prefix)
        checks = make_checks(build, prefix)
        for index, document in enumerate(pages):
            failures += broken_links(document)
            folder = Path(temporary) / f"document{index}"
            folder.mkdir()
            for block in blocks_of(document):
                if block.language not in checks:
                    continue
                for module in block.needs:
                    counts[module] += 1
                if block.needs & absent:
                    continue
                ran += 1
                failure = checks[block.language](block, folder)
                if failure is not None:
                    where = document.relative_to(ROOT)
                    failures.append(f"{where}:{block.line}: {block.language}: {failure}")
    for line in failures:
        print(line)
    print(summary(len(pages), ran, counts, absent, len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

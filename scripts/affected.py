"""Prints which of the given sources a change can have affected, one a line.

What changed is the work tree beside a commit: `--base`, else the environment's TAMIS_BASE, else the
one where `.ci/scheduled lint-all` last passed, by docs/trust.md. Which source includes what was
changed is asked of a finished build. Where no such commit is an ancestor, or the linter's own
settings have changed, that is all of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from record_part import rows

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {".clang-tidy"}


def dependencies(listing: str, build: Path) -> dict[Path, set[Path]]:
    """What `ninja -t deps` lists: the files that each source was compiled from, itself included."""
    found: dict[Path, set[Path]] = {}
    files: set[Path] | None = None
    for line in listing.splitlines():
        if not line.startswith(" "):
            files = None  # a name, or the empty line after the files
            continue
        path = Path(os.path.normpath(build / line.strip()))
        if files is None:
            files = found.setdefault(path, set())  # the source comes first
        files.add(path)
    return found


def affected(
    sources: list[Path], changed: set[Path], includes: dict[Path, set[Path]]
) -> list[Path]:
    """The sources that include what has changed, or that the build does not know."""
    return [s for s in sources if s not in includes or includes[s] & changed]


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What git says of the tree."""
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def base() -> str | None:
    """The commit to compare with, if there is one."""
    commit = os.environ.get("TAMIS_BASE")
    if commit is None:
        row = rows((ROOT / "docs/trust.md").read_text(encoding="utf-8"))["lint-all"]
        commit = row.commit if row.result == "passed" else None
    if commit and git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0:
        return commit
    return None


def changes(since: str) -> set[str]:
    """Names of the files that differ from a commit, new ones included."""
    listed = git("diff", "--name-only", since).stdout
    new = git("ls-files", "--others", "--exclude-standard").stdout
    return set(f"{listed}{new}".splitlines())


def main() -> int:
    """Prints them."""
    parser = argparse.ArgumentParser(description="which sources a change can have affected")
    parser.add_argument("sources", type=Path, nargs="*")
    parser.add_argument("--build", type=Path, required=True, help="a finished build, by ninja")
    parser.add_argument("--base", default=base(), help="the commit to compare with")
    arguments = parser.parse_args()
    sources = [Path(os.path.normpath(ROOT / source)) for source in arguments.sources]
    names = SETTINGS if arguments.base is None else changes(arguments.base)
    if names & SETTINGS:
        chosen = sources
    else:
        build: Path = arguments.build.resolve()
        ninja = ["ninja", "-C", str(build), "-t", "deps"]
        listing = subprocess.run(ninja, capture_output=True, text=True, check=True).stdout
        chosen = affected(sources, {ROOT / n for n in names}, dependencies(listing, build))
    print(*chosen, sep="\n")
    beside = f"changed since {arguments.base}" if arguments.base else "no commit to compare with"
    print(f"affected: {len(chosen)} of {len(sources)} sources, {beside}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

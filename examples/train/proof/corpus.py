"""Real text that every Debian machine has: manual pages and licences, without their mark-up.

Only files of the named packages are read, so that two machines of one Debian release read the same
text, whatever else is installed on them.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

DPKG = Path("/var/lib/dpkg/info")  # lists of what packages have installed
PACKAGES = ("manpages", "manpages-dev", "base-files")
WANTED = re.compile(r"/usr/share/(man/man[23457]/[^/]+\.gz|common-licenses/[^/]+)")
LEAST = 1500  # bytes: what is shorter only points at another page

# Requests of roff whose argument is text, and what stands for characters in it.
_TEXT = {".B", ".I", ".BR", ".IR", ".BI", ".IB", ".RB", ".RI", ".SH", ".SS", ".TP", ".IP"}
_FONT = re.compile(r"\\f(\[[A-Z]*\]|\([A-Z]{2}|[A-Z])|\\[&c|^%]")
_CHARACTERS = {r"\-": "-", r"\(aq": "'", r"\(em": " - ", r"\(bu": "*", r"\e": "\\", r"\ ": " "}


def without_markup(page: str) -> str:
    """The words of a manual page: requests without text are dropped, escapes resolved."""
    lines = []
    for line in page.splitlines():
        if line.startswith((".", "'")):
            request, _, text = line.partition(" ")
            if request not in _TEXT or not text:
                continue
            line = text.replace('"', "")
        line = _FONT.sub("", line)
        for escape, character in _CHARACTERS.items():
            line = line.replace(escape, character)
        lines.append(line)
    return "\n".join(lines)


def files(info: Path = DPKG) -> list[Path]:
    """Manual pages and licences of the packages, by name."""
    listed = [
        line
        for package in PACKAGES
        if (names := info / f"{package}.list").exists()
        for line in names.read_text(encoding="utf-8").splitlines()
    ]
    paths = [Path(line) for line in sorted(listed) if WANTED.fullmatch(line)]
    return [p for p in paths if p.exists() and not p.is_symlink() and p.stat().st_size >= LEAST]


def pages(info: Path = DPKG) -> list[str]:
    """The text of each file.

    Raises
    ------
    FileNotFoundError
        There are hardly any; says how to get them.
    """
    found = files(info)
    if len(found) < 100:
        raise FileNotFoundError(
            f"expected manual pages and licences of {', '.join(PACKAGES)}, found {len(found)}: "
            "install the Debian packages manpages and manpages-dev (an image without documents "
            "excludes them in /etc/dpkg/dpkg.cfg.d)"
        )
    return [_read(path) for path in found]


def _read(path: Path) -> str:
    if path.suffix != ".gz":
        return path.read_text(encoding="utf-8", errors="ignore")
    with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as page:
        return without_markup(page.read())

"""The site holds what it should: every public header, every page."""

from __future__ import annotations

from pathlib import Path

import tamis

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_reference_shows_every_public_header() -> None:
    shown = "".join((ROOT / "docs/api" / page).read_text() for page in ("cpp.md", "c.md"))
    for header in sorted((ROOT / "include").rglob("*.h*")):
        name = header.relative_to(ROOT).as_posix()
        assert f"{{literalinclude}} ../../{name}\n" in shown, f"{name} is not shown"


def test_every_room_has_a_place_in_the_contents() -> None:
    contents = (ROOT / "docs/contents.txt").read_text()
    for room in sorted((ROOT / "src/ops").iterdir()):
        assert f"\nsrc/ops/{room.name}/README\n" in contents, f"{room.name} is not listed"


def test_the_reference_shows_all_that_the_package_offers() -> None:
    shown = (ROOT / "docs/api/python.md").read_text().splitlines()
    for name in tamis.__all__:
        if name != "case":
            kind = "class" if name[0].isupper() else "function"
            assert f".. auto{kind}:: {name}" in shown, f"{name} is not shown"

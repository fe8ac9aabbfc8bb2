"""The site holds what it should: every public header, every page."""

from __future__ import annotations

from pathlib import Path

import tamis

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_reference_shows_every_public_header() -> None:
    shown = "".join((ROOT / "docs/api" / page).read_text() for page in ("cpp.md", "c.md"))
    for header in sorted((ROOT / "include").rglob("*.h*")):
        name = header.relative_to(ROOT).as_posix()
        if not name.startswith("include/tamis/compat/"):  # the device's names have docs/acl.md
            assert f"{{literalinclude}} ../../{name}\n" in shown, f"{name} is not shown"


def test_the_page_of_the_devices_c_calls_names_every_header() -> None:
    page = (ROOT / "docs/acl.md").read_text()
    root = ROOT / "include/tamis/compat/ascend"
    for header in sorted(root.rglob("*.h")):
        name = header.relative_to(root).as_posix()
        assert name.startswith("detail/") or f"{header.name}`" in page, f"{name} is not named"


def test_every_header_of_the_devices_c_calls_is_there_without_their_include_root() -> None:
    compat = ROOT / "include/tamis/compat"
    calls = {header.name for header in (compat / "ascend/aclnnop").iterdir()}
    assert calls == {header.name for header in (compat / "aclnnop").iterdir()}
    for name in calls:
        assert f'#include "../ascend/aclnnop/{name}"' in (compat / "aclnnop" / name).read_text()


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

"""Case files of every operator, damaged in every way: exit code 2 and exactly one line.

The whole files are the seeds of the fuzzer. docs/trust.md has the number of damaged ones.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("TAMIS_BINARY", ROOT / "build/release/bin/tamis"))
SEEDS = sorted((ROOT / "tests/fuzz/corpus/case_file").iterdir())

Header = dict[str, Any]


def parts(seed: Path) -> tuple[Header, bytes]:
    """The header and the data of a whole file."""
    whole = seed.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def joined(header: Header | str, data: bytes) -> bytes:
    """A file of this header, padded to 8 bytes, and this data."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def tensors(header: Header) -> list[str]:
    """The names of the tensors that hold a byte, the last in the file first."""
    offsets = {
        name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"
    }
    held = [name for name, (begin, end) in offsets.items() if end > begin]
    return sorted(held, key=lambda name: -offsets[name][0])


def changed(seed: Path, change: Callable[[Header], None]) -> bytes:
    """The file with another header."""
    header, data = parts(seed)
    change(header)
    return joined(header, data)


def shifted(seed: Path, by: int) -> bytes:
    """The last tensor begins `by` bytes later: a hole, or an overlap."""
    header, data = parts(seed)
    name = tensors(header)[0]
    begin, end = header[name]["data_offsets"]
    header[name]["data_offsets"] = [begin + by, end + by]
    return joined(header, data + b"\0" * max(by, 0))


def with_attribute(header: Header, name: str, value: object) -> None:
    """Sets an attribute of the call."""
    attributes = json.loads(header["__metadata__"]["tamis.attrs"])
    attributes[name] = value
    header["__metadata__"]["tamis.attrs"] = json.dumps(attributes)


def damages(seed: Path) -> Iterator[tuple[str, bytes]]:
    """Every way in which a file can be wrong, and the file."""
    whole = seed.read_bytes()
    header, data = parts(seed)
    first = tensors(header)[-1]
    last = tensors(header)[0]
    header_end = len(whole) - len(data)
    for name, at in (
        ("empty", 0),
        ("the header's length cut", 7),
        ("no header", 8),
        ("the header cut in the middle", header_end // 2),
        ("no data", header_end),
        ("the data cut in the middle", header_end + len(data) // 2),
        ("a byte short", len(whole) - 1),
    ):
        yield name, whole[:at]
    yield "a byte too many", whole + b"\0"
    yield "a page too many", whole + b"\0" * 4096
    for length in (0, 2**31, 2**63 - 1, 2**63, 2**64 - 1, len(whole)):
        yield f"a header of {length} bytes", struct.pack("<Q", length) + whole[8:]
    yield "a hole of 8 bytes", shifted(seed, 8)
    yield "an overlap", shifted(seed, -8 if header[last]["data_offsets"][0] >= 8 else -2)
    entry = json.dumps({first: header[first]})[1:-1]
    text = json.dumps(header)
    yield "a tensor twice", joined(text[:-1] + ", " + entry + "}", data)
    yield "metadata twice", joined(text[:-1] + ', "__metadata__": {}}', data)
    yield "no object", joined("[]", data)
    yield "a header of brackets", joined("[" * 100000, data)
    yield "text after the header", joined(text + "{}", data)
    for value in (-1, 2**62, 2**63, 1.5, "2", None):

        def shape(header: Header, value: object = value) -> None:
            header[first]["shape"] = [value, 2]

        yield f"a size of {value}", changed(seed, shape)
    yield "a rank of 9", changed(seed, lambda h: h[first].update(shape=[1] * 9))
    yield "another dtype", changed(seed, lambda h: h[first].update(dtype="F8"))
    yield "an unknown key", changed(seed, lambda h: h[first].update(strides=[1]))
    yield "offsets that end first", changed(seed, lambda h: h[first].update(data_offsets=[8, 0]))
    yield "an unknown tensor", changed(seed, lambda h: h.update(nonsense=h.pop(first)))
    yield (
        "an unknown operator",
        changed(seed, lambda h: h["__metadata__"].update({"tamis.op": "nonsense"})),
    )
    yield "no operator", changed(seed, lambda h: h["__metadata__"].pop("tamis.op"))
    yield "unknown metadata", changed(seed, lambda h: h["__metadata__"].update({"tamis.x": "1"}))
    yield "an unknown attribute", changed(seed, lambda h: with_attribute(h, "nonsense", 1))
    yield (
        "attributes that are no object",
        changed(seed, lambda h: h["__metadata__"].update({"tamis.attrs": "[1]"})),
    )
    yield "another type of attribute", changed(seed, lambda h: with_attribute(h, "strict", 1))


def refusal(command: str, path: Path) -> str:
    """What is wrong with how the command refuses the file; empty if nothing is."""
    output = path.with_suffix(".out")
    arguments: list[str | Path] = [BINARY, command, path]
    if command == "run":
        arguments += ["-o", output]
    done = subprocess.run(arguments, capture_output=True, check=False, timeout=60)
    lines = done.stderr.decode(errors="replace")
    if done.returncode != 2 or lines.count("\n") != 1 or not lines.startswith("tamis: "):
        return f"{done.returncode}: {lines!r}"
    return "an output" if output.exists() else ""


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_damaged_files_are_refused_in_one_line(seed: Path, tmp_path: Path) -> None:
    path = tmp_path / "case"
    path.write_bytes(seed.read_bytes())
    whole = subprocess.run([BINARY, "verify", path], capture_output=True, check=False)
    assert whole.returncode == 0, whole.stderr
    found = {}
    for name, content in damages(seed):
        path.write_bytes(content)
        found[name] = refusal("run", path) or refusal("verify", path)
    assert not {name: wrong for name, wrong in found.items() if wrong}


def test_the_page_has_the_number_of_damaged_files() -> None:
    page = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    match = re.search(r"(\d+) case files, each damaged in (\d+) ways", page)
    assert match is not None
    counts = {len(list(damages(seed))) for seed in SEEDS}
    assert [int(match[1]), int(match[2])] == [len(SEEDS), *counts]

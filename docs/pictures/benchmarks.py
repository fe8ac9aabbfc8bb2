"""The pictures and tables of docs/benchmarks.md, from what `./dev bench` has written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from canvas import BLUE, GREEN, INK, ORANGE, PALE, RED, SOFT, Canvas

Row = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/benchmarks.md"
RESULTS = ROOT / "bench/results/main.json"
GROWTH = ROOT / "bench/results/growth.json"

COLOURS = (BLUE, GREEN, ORANGE, RED)
WIDTH, LEFT, RIGHT, TOP = 900, 330, 830, 64
DTYPES = {"bfloat16": BLUE, "float16": GREEN, "float32": ORANGE}  # of peers
OTHER = INK  # those that are in the shape's dtype alone


def shape_of(row: Row) -> tuple[str, str, str]:
    """What a row is about."""
    return row["operator"], row["shape"], row["dtype"]


def spell_shape(key: tuple[str, str, str]) -> str:
    """In a word or five."""
    operator, shape, dtype = key
    return f"{operator}: {shape}" + ("" if dtype == "bfloat16" else f", {dtype}")


def labelled(sheet: Canvas, key: tuple[str, str, str], y: float) -> None:
    """A shape's name in two lines, left of its bars."""
    operator, shape = spell_shape(key).split(": ", 1)
    sheet.text(LEFT - 10, y + 12, operator, size=12, anchor="end")
    sheet.text(LEFT - 10, y + 26, shape, size=11, fill=SOFT, anchor="end")


def shares(rows: list[Row]) -> str:
    """Tamis's percent of the nearer bound, per shape, level and threads."""
    ours = [row for row in rows if row["impl"] == "tamis"]
    ways = sorted({(row["level"], row["threads"]) for row in ours})
    shapes = list(dict.fromkeys(map(shape_of, ours)))
    most = max(100.0, *(row["percent_of_bound"] for row in ours))
    pitch = max(34, 11 * len(ways) + 10)
    sheet = Canvas(WIDTH, TOP + pitch * len(shapes) + 34, "Percent of the bound, per operator")
    sheet.text(20, 24, "Tamis, percent of the nearer bound", bold=True)
    for at, (level, threads) in enumerate(ways):
        x = LEFT + 150 * at
        sheet.rect(x, 36, 10, 10, COLOURS[at % len(COLOURS)])
        sheet.text(x + 16, 45, f"{level}, {threads} thread" + "s" * (threads > 1), size=11)

    def place(percent: float) -> float:
        return float(LEFT + percent / most * (RIGHT - LEFT - 60))

    bottom = TOP + pitch * len(shapes)
    for tick in range(0, int(most) + 1, 20 if most <= 200 else 50):
        stroke = SOFT if tick == 100 else PALE
        sheet.line([(place(tick), TOP - 6), (place(tick), bottom)], stroke=stroke)
        sheet.text(place(tick), bottom + 16, f"{tick}%", size=11, fill=SOFT, anchor="middle")
    for line, key in enumerate(shapes):
        y = TOP + pitch * line
        labelled(sheet, key, y)
        for at, way in enumerate(ways):
            for row in ours:
                if shape_of(row) == key and (row["level"], row["threads"]) == way:
                    percent: float = row["percent_of_bound"]
                    bar = y + 4 + 11 * at
                    width = place(percent) - LEFT
                    sheet.rect(LEFT, bar, width, 9, COLOURS[at % len(COLOURS)])
                    note = f"{percent:.0f}% of {row['bound']}"
                    sheet.text(place(percent) + 5, bar + 8, note, size=9, fill=SOFT)
    return sheet.svg()


def mark_of(impl: str) -> tuple[str, str]:
    """Fill and edge: colours are dtypes, hollow is compiled."""
    common = impl.startswith(("torch eager,", "torch compile,"))
    colour = DTYPES[impl.rsplit(", ", 1)[1]] if common else OTHER
    return ("#fff" if "compile" in impl or "Flex" in impl else colour), colour


def against_peers(rows: list[Row], threads: int) -> str:
    """Each peer's time over Tamis's, from the least to the most of the rounds."""
    best = rows[-1]["level"]
    theirs = [
        row
        for row in rows
        if row["impl"].startswith("torch") and (row["level"], row["threads"]) == (best, threads)
    ]
    shapes = list(dict.fromkeys(map(shape_of, theirs)))
    many = max(sum(shape_of(row) == key for row in theirs) for key in shapes)
    pitch = max(36, 6 * many + 12)
    title = f"PyTorch's time over Tamis's, {threads} thread" + "s" * (threads > 1)
    sheet = Canvas(WIDTH, TOP + pitch * len(shapes) + 34, title)
    sheet.text(20, 24, f"{title}, level {best}: right of 1 Tamis is faster", bold=True)
    legend = ["torch eager, bfloat16", "torch eager, float16", "torch eager, float32"]
    legend += ["SDPA, prepacked", "FlexAttention", "hollow: compiled"]
    for at, name in enumerate(legend):
        left = 150 + 122 * at
        fill, edge = mark_of(name)
        sheet.rect(left, 36, 10, 10, fill, stroke=edge)
        sheet.text(left + 15, 45, name.removeprefix("torch "), size=11)
    least = min(0.5, *(row["ratio_min"] for row in theirs))
    most = max(4.0, *(row["ratio_max"] for row in theirs))

    def place(ratio: float) -> float:
        return LEFT + math.log(ratio / least) / math.log(most / least) * (RIGHT - LEFT)

    bottom = TOP + pitch * len(shapes)
    for power in range(math.ceil(math.log2(least)), math.floor(math.log2(most)) + 1):
        x = place(2.0**power)
        sheet.line([(x, TOP - 6), (x, bottom)], stroke=SOFT if power == 0 else PALE)
        sheet.text(x, bottom + 16, f"{2.0**power:g}", size=11, fill=SOFT, anchor="middle")
    for line, key in enumerate(shapes):
        y = TOP + pitch * line
        labelled(sheet, key, y)
        for at, row in enumerate(row for row in theirs if shape_of(row) == key):
            middle, (fill, colour) = y + 8 + 6 * at, mark_of(row["impl"])
            ends = [(place(row[name]), middle) for name in ("ratio_min", "ratio_max")]
            sheet.line(ends, stroke=colour)
            x = place(row["ratio_to_tamis"]) - 3
            sheet.rect(x, middle - 2.5, 6, 5, fill, stroke=colour)
    return sheet.svg()


def growth(found: dict[str, list[Row]]) -> str:
    """Time against context, both by powers of two."""
    sheet = Canvas(WIDTH, 520, "Time against context")
    curve = found["curves"][0]
    how = f"{curve['threads']} threads, level {curve['level']}"
    sheet.text(20, 24, f"milliseconds of a call against context, {how}", bold=True)
    points = found["points"]
    times = [point["median_ms"] for point in points]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    most = max(point["context"] for point in points)
    left, right, top, bottom = 70, 560, 50, 480

    def x_of(context: int) -> float:
        return left + (math.log2(context) - 10) / (math.log2(most) - 10) * (right - left)

    def y_of(milliseconds: float) -> float:
        return bottom - (math.log10(milliseconds) - low) / (high - low) * (bottom - top)

    for power in range(low, high + 1):
        y = y_of(10.0**power)
        sheet.line([(left, y), (right, y)], stroke=PALE)
        sheet.text(left - 8, y + 4, f"{10.0**power:g}", size=11, fill=SOFT, anchor="end")
    for power in range(10, int(math.log2(most)) + 1, 2):
        x = x_of(1 << power)
        label = f"{1 << (power - 10)}K" if power < 20 else "1M"
        sheet.line([(x, top), (x, bottom)], stroke=PALE)
        sheet.text(x, bottom + 18, label, size=11, fill=SOFT, anchor="middle")
    shades = (BLUE, GREEN, ORANGE, RED)
    for at, curve in enumerate(found["curves"]):
        name = (curve["operator"], curve["phase"])
        own = [point for point in points if (point["operator"], point["phase"]) == name]
        dashed, colour = curve["phase"] == "prefill", shades[at % len(shades)]
        path = [(x_of(point["context"]), y_of(point["median_ms"])) for point in own]
        sheet.line(path, stroke=colour, width=2, dashed=dashed)
        y = 66 + 44 * at
        sheet.line([(590, y - 4), (616, y - 4)], stroke=colour, width=2, dashed=dashed)
        sheet.text(624, y, f"{curve['operator']}, {curve['phase']}", size=12)
        expected, fitted = curve["expected_exponent"], curve["fitted_exponent"]
        note = f"exponent {fitted:.2f}, expected {expected:g}"
        sheet.text(624, y + 16, note, size=11, fill=SOFT)
    return sheet.svg()


def table(rows: list[Row]) -> Iterator[str]:
    """Markdown: a line per shape, way to run and contender."""
    yield "| | threads | ms | of the bound | its time over Tamis's | max error |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for key, group in groupby(rows, shape_of):
        yield f"| **{spell_shape(key)}** | | | | | |"
        for row in group:
            ratio = (
                f"{row['ratio_to_tamis']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
            )
            yield (
                f"| {row['impl']}{', ' + row['level'] if row['impl'] == 'tamis' else ''} | "
                f"{row['threads']} | {row['median_ms']:.3g} | {row['percent_of_bound']:.0f}% of "
                f"{row['bound']} | {'' if row['impl'] == 'tamis' else ratio} | "
                f"{row['max_error']:.1e} |"
            )


def growth_table(found: dict[str, list[Row]]) -> Iterator[str]:
    """Markdown: a line per curve, with its memory."""
    yield (
        "| | contexts | time | exponent, expected | worst step | workspace | more resident while "
        "it runs |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for curve in found["curves"]:
        name = (curve["operator"], curve["phase"])
        own = [p for p in found["points"] if (p["operator"], p["phase"]) == name]

        def ends(field: str, unit: float, own: list[Row] = own) -> str:
            return f"{own[0][field] / unit:.3g} to {own[-1][field] / unit:.4g}"

        yield (
            f"| `{name[0]}`, {name[1]} | {own[0]['context']} to {own[-1]['context']} | "
            f"{ends('median_ms', 1)} ms | {curve['fitted_exponent']:.2f}, "
            f"{curve['expected_exponent']:g} | {curve['worst_step']:.2f} | "
            f"{ends('workspace_bytes', 2**20)} MiB | {ends('extra_bytes', 2**20)} MiB |"
        )


def between(page: str, name: str, lines: Iterator[str]) -> str:
    """The page with these lines between its two marks of a name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"


def read(path: Path) -> Any:
    """JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def page() -> str:
    """docs/benchmarks.md with its tables as they should be."""
    text = between(PAGE.read_text(encoding="utf-8"), "results", table(read(RESULTS)))
    return between(text, "growth", growth_table(read(GROWTH)))


def pictures() -> dict[str, str]:
    """Files by name."""
    rows = read(RESULTS)
    threads = sorted({row["threads"] for row in rows})
    made = {f"bench_peers_{count}.svg": against_peers(rows, count) for count in threads}
    return made | {"bench_shares.svg": shares(rows), "bench_growth.svg": growth(read(GROWTH))}

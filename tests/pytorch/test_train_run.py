"""examples/train runs as a whole, in a small size, and writes what it has seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from proof import plots, report
from proof.comparison import Agreement
from proof.evaluation import Score
from proof.latent import Choice
from proof.plan import Plan
from proof.report import Result
from proof.run import run
from proof.stages import Staged
from proof.training import Row
from train_tools import SMALL, reading


def test_a_run_reports_and_draws(tmp_path: Path) -> None:
    result = run(SMALL, reading(), tmp_path)
    text = report.write(tmp_path, result, reading())
    assert text == (tmp_path / "report.txt").read_text()
    assert reading().digest in text
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["corpus"]["digest"] == reading().digest
    assert list(found["scratch"]) == ["dense", "nsa"]
    assert [row["step"] for row in found["scratch"]["dense"]] == [0, 2, 4]
    assert list(found["continued"]) == ["dense", "window", "nsa"]
    assert [row["step"] for row in found["continued"]["nsa"]] == [0, 1, 2]
    assert [row["length"] for row in found["reach"]["nsa"]] == [128, 256]
    assert found["reach"]["nsa"][0]["score"] == found["continued"]["nsa"][-1]["score"]
    assert [claim["holds"] for claim in found["claims"][:10]] == [True] * 10
    assert list(found["staged"]["rows"]) == ["dense", "warmup", "sparse"]
    assert len(found["staged"]["rows"]["sparse"][-1]["score"]["choices"]) == SMALL.layers
    assert found["staged"]["dense"]["choices"] == []
    pictures = plots.write(tmp_path, result)
    assert [path.name for path in pictures] == [
        "scratch.svg",
        "continued.svg",
        "selected.svg",
        "stages.svg",
    ]
    drawn = [path.read_text() for path in pictures]
    assert all("<svg" in picture for picture in drawn)
    again = run(SMALL, reading(), tmp_path)  # all is done already
    assert again == result
    assert [path.read_text() for path in plots.write(tmp_path, again)] == drawn


def row(step: int, needles: float, selected: tuple[float, ...] = ()) -> Row:
    return Row(step, step, 2.0 * step, 1024, Score(needles, 3.5, selected, 0.3))


def indexed(step: int, needles: float, mass: float) -> Row:
    score = Score(needles, 3.5, choices=(Choice(mass, 0.9, 0.3, 0.1), Choice(0.8, 0.9, 0.3, 0.1)))
    return Row(step, step, 2.0 * step, 1024, score)


GOOD = Result(
    Plan(),
    [Agreement("dense", 20, 0.01, 0.9999)],
    {"dense": [row(300, 0.2)]},
    {
        "dense": [row(0, 0.2), row(100, 0.1)],
        "window": [row(0, 7.7), row(100, 7.6)],
        "nsa": [row(0, 5.0), row(50, 1.9, (0.2, 0.8)), row(100, 1.5, (0.2, 0.8))],
    },
    {},
    Staged(
        {
            "dense": [row(300, 0.2)],
            "warmup": [indexed(0, 7.6, 0.2), indexed(150, 0.5, 0.75)],
            "sparse": [indexed(0, 0.5, 0.75), indexed(100, 0.25, 0.8)],
        },
        Score(0.2, 3.48),
        0,
    ),
)


def staged(stage: str, *rows: Row) -> Result:
    found = GOOD.staged
    return replace(GOOD, staged=replace(found, rows=found.rows | {stage: [*rows]}))


def test_claims_have_limits() -> None:
    assert all(claim.holds for claim in GOOD.claims())
    for bad in (
        replace(GOOD, agreements=[Agreement("nsa", 20, 0.03, 0.9999)]),
        replace(GOOD, agreements=[Agreement("nsa", 20, 0.01, 0.99)]),
        replace(GOOD, continued=GOOD.continued | {"window": [row(0, 6.0), row(100, 7.6)]}),
        replace(GOOD, continued=GOOD.continued | {"nsa": [row(0, 5.0), row(60, 1.9, (0.8,))]}),
        replace(GOOD, continued=GOOD.continued | {"nsa": [row(50, 1.9, (0.7, 0.2))]}),
        staged("warmup", indexed(0, 6.0, 0.2), indexed(150, 0.5, 0.75)),
        staged("warmup", indexed(0, 7.6, 0.2), indexed(150, 1.1, 0.75)),
        staged("warmup", indexed(0, 7.6, 0.2), indexed(150, 0.5, 0.7)),
        staged("sparse", indexed(0, 0.5, 0.75), indexed(100, 0.31, 0.8)),
        replace(GOOD, staged=replace(GOOD.staged, dense=Score(0.2, 3.43))),
        replace(GOOD, staged=replace(GOOD.staged, crossing=1)),
    ):
        (failed,) = (claim for claim in bad.claims() if not claim.holds)
        assert failed.line().startswith("FAILS: ")


def test_time_is_compared_at_the_same_time() -> None:
    rows = [row(0, 5.0), row(50, 1.9), row(100, 1.5)]
    assert [report.at(rows, seconds).step for seconds in (0, 99, 100, 1000)] == [0, 0, 50, 100]

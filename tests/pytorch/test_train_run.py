"""examples/train runs as a whole, in a small size, and writes what it has seen."""

from __future__ import annotations

import json
from pathlib import Path

from proof import plots, report
from proof.run import run
from train_tools import SMALL, reading


def test_a_run_reports_and_draws(tmp_path: Path) -> None:
    result = run(SMALL, reading(), tmp_path)
    text = report.write(tmp_path, result, reading())
    assert text == (tmp_path / "report.txt").read_text()
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["corpus"]["digest"] == reading().digest
    names = ["dense", "dense, continued", "window, continued", "nsa, continued"]
    assert list(found["curves"]) == names
    assert [row["step"] for row in found["curves"]["nsa, continued"]] == [0, 1, 2]
    assert "as it should be" in text
    assert "NOT" not in text
    pictures = plots.write(tmp_path, result)
    assert [path.name for path in pictures] == ["dense.svg", "continued.svg", "selected.svg"]
    assert all("<svg" in path.read_text() for path in pictures)
    again = run(SMALL, reading(), tmp_path)  # all is done already
    assert again.curves == result.curves

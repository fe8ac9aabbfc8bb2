"""The scripts in examples/npu, as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "npu"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "agreement.py")


def test_there_is_a_script_for_every_document() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [f"| 00{n} |" in page for n in range(5)] == [True] * 5
    assert all(script in page for script in SCRIPTS)
    assert len(SCRIPTS) == 5


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("options", [[], ["--strict"]], ids=["wide", "strict"])
def test_the_documents_scripts_run_on_a_cpu(script: str, options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tamis.npu_compat", *options, script],
        cwd=FOLDER,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "elements agree" in done.stdout

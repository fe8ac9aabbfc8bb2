"""Examples over ranks do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "distributed"


def test_a_text_on_two_ranks_is_asked_as_in_one_process() -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(EXAMPLES / "long_context.py"), "--tokens=60000", "--questions=10"],
        env=os.environ | {"PYTHONPATH": str(EXAMPLES.parents[1] / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "selections are the same" in done.stdout

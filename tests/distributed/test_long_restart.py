"""torchrun starts ranks again after one was lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from restarted import STEPS


def run(path: Path, own_store: str, *fault: str) -> tuple[list[Any], str]:
    """Life, lengths and outputs of each rank that came to the end, and what was written.

    The store by which ranks meet is the agent's, or, `own_store` "1", rank 0's.
    """
    program = Path(__file__).with_name("restarted.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--max-restarts", "1", "--monitor-interval", "2", "--standalone"]
    done = subprocess.run(
        [*command, str(program), str(path), *fault],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": own_store},
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(f"{path}{rank}", weights_only=True) for rank in range(2)], done.stderr


@pytest.mark.parametrize(
    ("fault", "own_store", "named"),
    [("1:6", "0", "rank 1"), ("0:3", "0", "rank 0"), ("0:3", "1", "some rank")],
)
def test_a_restarted_run_ends_as_if_nothing_had_been(
    tmp_path: Path, fault: str, own_store: str, named: str
) -> None:
    plain, _ = run(tmp_path / "plain", "0")
    again, said = run(tmp_path / "again", own_store, fault)
    # The agent may end the other rank before it has said so.
    assert set(re.findall(r"RankLost: step \d+: no answer from (.+?) \(", said)) <= {named}, said
    for (life, lengths, out), (second, *found) in zip(plain, again, strict=True):
        assert (life, second) == (0, 1)
        assert lengths == found[0] == [70 + STEPS]
        assert torch.equal(out, found[1])

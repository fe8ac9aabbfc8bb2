"""Ranks that are killed or stopped at any moment, many times."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from faults import disturb
from test_deepseek import MODES


def test_fifty_killed_ranks_are_named_within_two_seconds(tmp_path: Path) -> None:
    slowest, steps = 0.0, set()
    for seed in range(50):
        draw = random.Random(seed)
        world, options = 2 + seed % 3, MODES[seed // 3 % len(MODES)]
        if world > 2:  # "rows" wants 8 of the 16 heads on each rank
            options = options | {"mode": "states"}
        victim = draw.randrange(world)
        ended, sent = disturb(
            tmp_path / str(seed), world, victim, signal.SIGKILL, seed=seed, options=options
        )
        assert len(ended) == world - 1
        for end in ended:
            assert (end.kind, end.ranks) == ("RankLost", (victim,)), (seed, end)
            slowest = max(slowest, end.at - sent)
            steps.add(end.text.partition(":")[0])
        assert slowest < 2, (seed, slowest)
    assert len(steps) > 10  # at many moments
    print(f"slowest {slowest:.2f} s, {len(steps)} steps")


def test_stopped_ranks_are_named_after_the_timeout(tmp_path: Path) -> None:
    for seed in range(6):
        world = 2 + seed % 3
        victim = seed % world
        ended, sent = disturb(
            tmp_path / str(seed), world, victim, signal.SIGSTOP, timeout=1.5, seed=seed
        )
        for end in ended:
            assert (end.kind, end.ranks) == ("RankLost", (victim,)), (seed, end)
            assert 1 < end.at - sent < 3.5, (seed, end.at - sent)

"""What goes over a network interface is what the formulas say, with 5% for all headers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ALL = [(mode, keys) for mode in ("states", "rows") for keys in ("dealt", "replicated")]


def on_loopback(world: int, heads: int, latent: int, count: int, *options: str) -> float:
    """Bytes on the interface over those of the formula."""
    program = str(Path(__file__).with_name("loopback.py"))
    sizes = map(str, (world, heads, latent, count))
    done = subprocess.run(
        ["unshare", "-n", sys.executable, program, *sizes, *options],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found, said = map(float, done.stdout.split())
    print(f"{world} ranks, {heads} heads, {options}: {found:.0f} bytes, formula {said:.0f}")
    return found / said


@pytest.mark.parametrize("options", ALL, ids="-".join)
@pytest.mark.parametrize("world", [2, 4])
def test_models_sizes_within_five_percent(world: int, options: tuple[str, str]) -> None:
    assert 1 < on_loopback(world, 128, 512, 2048, *options) < 1.05


def test_small_messages_are_mostly_headers() -> None:
    assert 1.05 < on_loopback(2, 16, 64, 64, "states", "dealt") < 3

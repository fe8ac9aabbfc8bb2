"""What ranks do while tests disturb them, and what they say of it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ranks import Processes
from test_deepseek import layer_of
from torch import Tensor

from tamis.distributed import (
    ContextGroup,
    DealtCache,
    DealtSparseAttention,
    RankLost,
    RemoteError,
)


class Ended(NamedTuple):
    """How a call or a run ended on one rank; times are those of one clock for all processes."""

    kind: str
    text: str
    ranks: tuple[int, ...]
    began: float
    at: float

    @property
    def seconds(self) -> float:
        return self.at - self.began


def ending(work: Callable[[], object]) -> Ended:
    """Of a call that must fail."""
    began = time.monotonic()
    try:
        work()
    except Exception as error:
        ranks = error.ranks if isinstance(error, RankLost) else ()
        if isinstance(error, RemoteError):
            ranks = tuple(error.messages)
        return Ended(type(error).__name__, str(error), ranks, began, time.monotonic())
    return Ended("returned", "", (), began, time.monotonic())


class Decoder:
    """A small layer over ranks, with one sequence of 70 tokens."""

    def __init__(self, group: ContextGroup, *, room: int = 640, **options: Any) -> None:
        self.group = group
        self.dealt = DealtSparseAttention(layer_of(torch.bfloat16), group, **options)
        self.cache = self.new_cache(room)
        self.x = self.hidden(70)
        self.dealt(self.x, [70], self.cache)

    def new_cache(self, room: int) -> DealtCache:
        return self.dealt.make_cache(self.dealt.make_table(sequences=1, tokens=room))

    def hidden(self, tokens: int) -> Tensor:
        seed = torch.Generator().manual_seed(tokens)
        return torch.randn(tokens, 96, generator=seed).bfloat16()

    def token(self, i: int = 0) -> Tensor:
        """Decodes one token and forgets it."""
        out = self.dealt(self.x[i % 70, None], [1], self.cache)
        self.cache.table.truncate([70])
        return out


def decode_until_disturbed(folder: Path, timeout: float, options: dict[str, Any]) -> Ended:
    """Decodes until something goes wrong."""
    group = ContextGroup(page_size=16, timeout=timeout)
    decoder = Decoder(group, **options)

    def decode() -> None:
        for i in count():
            decoder.token(i)
            if i == 2:
                (folder / f"going{group.rank}").touch()

    return ending(decode)


def disturb(
    folder: Path,
    world: int,
    victim: int,
    what: signal.Signals,
    *,
    timeout: float = 20.0,
    seed: int = 0,
    options: dict[str, Any] | None = None,
) -> tuple[list[Ended], float]:
    """A signal to one rank at a random moment: how the others ended, and when it was sent."""
    folder.mkdir(exist_ok=True)
    ranks = Processes(world, decode_until_disturbed, folder, timeout, options or {})
    wait_for(folder / f"going{rank}" for rank in range(world))
    time.sleep(random.Random(seed).uniform(0, 0.3))
    pid = ranks.ranks[victim].pid
    assert pid is not None
    os.kill(pid, what)
    sent = time.monotonic()
    ended = ranks.results(timeout=timeout + 10, of=[r for r in range(world) if r != victim])
    ranks.kill()
    return ended, sent


def wait_for(paths: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    for path in paths:
        while not path.exists():
            assert time.monotonic() < end, path
            time.sleep(0.01)

"""Ranks that fail, stop or differ: the others say which and why, in time, and never hang."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from ranks import Processes, as_processes, ready
from test_deepseek import layer_of

from tamis.distributed import ContextGroup, DealtSparseAttention, RankLost, RemoteError

TIMEOUT = 3.0


class Ended(NamedTuple):
    """How a rank's steps ended."""

    kind: str
    text: str
    ranks: tuple[int, ...]
    when: float
    steps: int


def decode(timeout: float, disturb: Callable[[int, int], None] | None = None) -> Ended:
    """Steps until something goes wrong."""
    group = ContextGroup(timeout=timeout, page_size=16, shards=4)
    dealt = DealtSparseAttention(layer_of(torch.bfloat16), group)
    cache = dealt.make_cache(dealt.make_table(sequences=1, tokens=6000))
    x = torch.randn(1, 96, generator=torch.Generator().manual_seed(1)).bfloat16()
    step = 0
    try:
        for step in range(5000):
            if disturb is not None:
                disturb(group.rank, step)
            dealt(x, [1], cache)
            if step == 20:
                ready()
    except (RankLost, RemoteError) as error:
        ranks = error.ranks if isinstance(error, RankLost) else tuple(error.messages)
        return Ended(type(error).__name__, str(error), ranks, time.time(), step)
    return Ended("finished", "", (), time.time(), step)


def disturb(world: int, victim: int, number: signal.Signals) -> tuple[float, list[Ended]]:
    """Sends a signal to a rank at a random moment; when, and how the others ended."""
    processes = Processes(world, decode, TIMEOUT)
    processes.wait_until_ready()
    time.sleep(1 + random.random())
    when = time.time()
    os.kill(processes.ranks[victim].pid or 0, number)
    others = [rank for rank in range(world) if rank != victim]
    processes.join(others, TIMEOUT + 10)
    processes.ranks[victim].kill()
    results = processes.results()
    return when, [results[rank] for rank in others]


@pytest.mark.parametrize(("world", "victim"), [(2, 1), (3, 0)])
def test_a_killed_rank_is_named_within_two_seconds(world: int, victim: int) -> None:
    when, ended = disturb(world, victim, signal.SIGKILL)
    for end in ended:
        assert (end.kind, end.ranks) == ("RankLost", (victim,)), end
        assert 0 <= end.when - when < 2, end


def test_a_stopped_rank_is_named_after_the_timeout() -> None:
    when, ended = disturb(3, 2, signal.SIGSTOP)
    for end in ended:
        assert (end.kind, end.ranks) == ("RankLost", (2,)), end
        assert end.when - when < TIMEOUT + 2, end


def test_a_busy_rank_is_not_taken_for_a_lost_one() -> None:
    ended = [e for e in as_processes(3, lose_one_while_one_is_busy) if e is not None]
    assert [end.ranks for end in ended] == [(2,), (2,)]


def lose_one_while_one_is_busy() -> Ended | None:
    group = ContextGroup(timeout=20.0)
    if group.rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if group.rank == 1:
        time.sleep(3)  # longer than the others wait for who noticed
    try:
        with group.alike(8) as call:
            call.gather(torch.zeros(1, dtype=torch.int64))
    except RankLost as error:
        return Ended("RankLost", str(error), error.ranks, time.time(), 0)
    return None


def with_bad_arguments() -> dict[str, Any]:
    """What each rank is told of mistakes, and what it computes after them."""
    group = ContextGroup(page_size=16)
    layer = layer_of(torch.bfloat16)
    dealt = DealtSparseAttention(layer, group)
    table = dealt.make_table(sequences=2, tokens=64)
    cache = dealt.make_cache(table)
    x = torch.randn(5, 96, generator=torch.Generator().manual_seed(1)).bfloat16()
    odd = group.rank == 1
    found: dict[str, Any] = {"out": [dealt.attend(x, [2, 3], cache)]}

    def fail(name: str, call: Callable[[], object]) -> None:
        begin = time.monotonic()
        try:
            call()
        except Exception as error:
            found[name] = type(error).__name__, str(error), time.monotonic() - begin
        assert table.lengths == [2, 3]

    fail("shape", lambda: dealt(x[:4] if odd else x, [2, 3], cache))
    fail("dtype", lambda: dealt(x.float() if odd else x, [2, 3], cache))
    fail("counts", lambda: dealt(x, [3, 2] if odd else [2, 3], cache))
    fail("kind", lambda: dealt(x, "no counts" if odd else [2, 3], cache))
    fail("share", lambda: dealt.prefill(x, [2, 3], cache))
    fail("room", lambda: dealt(x, [2, 300], cache))
    fail("everyone", lambda: dealt(x[:4], [2, 3], cache))
    found["out"].append(dealt.attend(x, [2, 3], cache))
    table.truncate([4, 5 if odd else 6])
    with pytest.raises(RemoteError) as caught:
        dealt(x, [2, 3], cache)
    return found | {"lengths": str(caught.value)}


def test_a_bad_argument_on_one_rank_is_the_same_error_on_all() -> None:
    results = as_processes(2, with_bad_arguments)
    for name in ("shape", "dtype", "counts", "kind"):
        first, second = (result[name] for result in results)
        assert first[:2] == second[:2], name
        assert first[0] == "RemoteError", first
        assert first[1].startswith("rank 1: "), first
        assert max(first[2], second[2]) < 1, name
    assert "x: " in results[0]["shape"][1]
    assert results[0]["counts"][1] == "rank 1: was given other counts or lengths than rank 0"
    assert results[0]["lengths"] == results[1]["lengths"] == results[0]["counts"][1]
    for result in results:
        assert result["room"][:2] == results[0]["room"][:2]
        assert "rank 0: MemoryError: counts: " in result["room"][1]
        # What all do alike is everybody's own mistake.
        assert result["everyone"][0] == "ValueError", result["everyone"]
        assert result["everyone"][1].startswith("x: expected shape "), result["everyone"]
    undisturbed = as_processes(2, without_mistakes)
    for result, want in zip(results, undisturbed, strict=True):
        for got, out in zip(result["out"], want, strict=True):
            assert torch.equal(got, out)


def without_mistakes() -> list[torch.Tensor]:
    group = ContextGroup(page_size=16)
    dealt = DealtSparseAttention(layer_of(torch.bfloat16), group)
    cache = dealt.make_cache(dealt.make_table(sequences=2, tokens=64))
    x = torch.randn(5, 96, generator=torch.Generator().manual_seed(1)).bfloat16()
    return [dealt.attend(x, [2, 3], cache) for _ in range(2)]


def fail_in_the_middle() -> Ended | None:
    group = ContextGroup(timeout=20.0)
    try:
        with group.alike(8) as call:
            call.gather(torch.zeros(1, dtype=torch.int64))
            if group.rank == 1:
                raise MemoryError("no room for rows")
            call.gather(torch.zeros(1, dtype=torch.int64))
    except (RemoteError, MemoryError) as error:
        ranks = tuple(error.messages) if isinstance(error, RemoteError) else ()
        return Ended(type(error).__name__, str(error), ranks, time.time(), 0)
    return None


def test_a_rank_that_fails_in_the_middle_says_why() -> None:
    results = as_processes(3, fail_in_the_middle)
    assert results[1].kind == "MemoryError"
    for end in (results[0], results[2]):
        assert end[:3] == ("RemoteError", "rank 1: MemoryError: no room for rows", (1,))
        assert end.when - results[1].when < 2


def make_differently() -> dict[str, str]:
    """What making a group and a layer says, where rank 1 differs."""
    told = {}
    odd = dist.get_rank() == 1

    def attempt(name: str, make: Callable[[], object]) -> None:
        try:
            make()
        except (ValueError, RemoteError) as error:
            told[name] = str(error)

    attempt("page_size", lambda: ContextGroup(page_size=32 if odd else 16))
    attempt("shards", lambda: ContextGroup(shards=4 if odd else 8))
    if odd:
        os.environ["TAMIS_LEVEL"] = "scalar"
    attempt("level", ContextGroup)
    os.environ.pop("TAMIS_LEVEL", None)
    import tamis

    version = tamis.__version__
    if odd:
        vars(tamis)["__version__"] = "9.9"
    attempt("version", ContextGroup)
    vars(tamis)["__version__"] = version
    group = ContextGroup()
    plain = layer_of(torch.bfloat16)
    other = layer_of(torch.float32 if odd else torch.bfloat16)
    attempt("dtype", lambda: DealtSparseAttention(other, group))
    if odd:
        with torch.no_grad():
            plain.w_o[3, 5] += 1
    attempt("weights", lambda: DealtSparseAttention(plain, group))
    attempt("mode", lambda: DealtSparseAttention(plain, group, mode="rows" if odd else "states"))
    return told


def test_ranks_that_differ_are_refused_by_name() -> None:
    results = as_processes(3, make_differently)
    assert results[0] == results[1] == results[2]
    told = results[0]
    same = "expected the same on all ranks, got"
    assert told["page_size"] == f"page_size: {same} 16 on rank 0, 2, 32 on rank 1"
    assert told["shards"] == f"shards: {same} 8 on rank 0, 2, 4 on rank 1"
    assert told["level"].startswith(f"level: {same} ")
    assert told["level"].endswith('"scalar" on rank 1')
    assert told["version"].endswith('"9.9" on rank 1')
    assert told["dtype"].startswith(f"layer: {same} ")
    assert told["weights"].startswith(f"weights: {same} ")
    assert told["mode"].startswith(f"mode: {same} ")


def come_late() -> Ended | None:
    if dist.get_rank() == 1:
        time.sleep(6)
        return None
    begin = time.time()
    try:
        ContextGroup(join_timeout=2.0)
    except RankLost as error:
        return Ended("RankLost", str(error), error.ranks, time.time() - begin, 0)
    return None


def test_who_does_not_come_is_named() -> None:
    results = as_processes(3, come_late)
    for end in (results[0], results[2]):
        assert end.ranks == (1,), end
        assert end.when < 4

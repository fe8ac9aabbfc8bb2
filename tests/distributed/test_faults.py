"""What goes wrong on one rank is known on all."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from faults import Decoder, Ended, decode_until_disturbed, disturb, ending, wait_for
from ranks import Processes, StoreProcess, as_processes
from test_deepseek import MODES, layer_of
from torch import Tensor

import tamis
from tamis.distributed import ContextGroup, DealtSparseAttention
from tamis.distributed.attention import attend_by_states


def alike(ended: list[Ended], kind: str) -> str:
    """What all ranks say."""
    assert {end.kind for end in ended} == {kind}, ended
    assert len({end.text for end in ended}) == 1, ended
    return ended[0].text


# --- making groups and layers ------------------------------------------------------------------


def other_processes(rank: int) -> dict[str, Ended]:
    """Rank 1 runs at another level; later it has another version, and then it does not come."""
    if rank == 1:
        os.environ["TAMIS_LEVEL"] = "scalar"
    found = {"level": ending(ContextGroup)}
    version = tamis.__version__
    if rank == 1:
        tamis.__version__ = "0.0.1"
    found["version"] = ending(ContextGroup)
    tamis.__version__ = version
    if rank != 1:
        found["join"] = ending(lambda: ContextGroup(join_timeout=0.5))
    return found


def other_processes_of_rank() -> dict[str, Ended]:
    return other_processes(torch.distributed.get_rank())


def test_processes_that_differ_or_do_not_come_are_refused() -> None:
    found = as_processes(3, other_processes_of_rank)
    said = "expected the same on all ranks, got"
    text = alike([f["level"] for f in found], "ValueError")
    assert re.fullmatch(rf'level: {said} "\w+" on rank 0, 2, "scalar" on rank 1', text), text
    assert alike([f["version"] for f in found], "ValueError") == (
        f'version: {said} "{tamis.__version__}" on rank 0, 2, "0.0.1" on rank 1'
    )
    text = alike([found[0]["join"], found[2]["join"]], "RankLost")
    assert text == "step 0: no answer from rank 1 (waited join_timeout=0.5 s)"
    assert all(f[name].seconds < 2.5 for f in found for name in f)


def other_arguments() -> dict[str, Ended]:
    """Rank 1 makes each group or layer with something else."""
    group = ContextGroup(page_size=16)
    odd = group.rank == 1

    def layer(**options: Any) -> Ended:
        given = options.pop("layer", None) or layer_of(torch.bfloat16)
        return ending(lambda: DealtSparseAttention(given, group, **options))

    wide = layer_of(torch.float32)
    trained = layer_of(torch.bfloat16)
    with torch.no_grad():
        trained.w_o[3, 4] += 1
    found = {
        "shards": ending(lambda: ContextGroup(shards=9 if odd else 8)),
        "page_size": ending(lambda: ContextGroup(page_size=32 if odd else 16)),
        "dtype": layer(layer=wide if odd else None),
        "weights": layer(layer=trained if odd else None),
        "mode": layer(mode="rows" if odd else "states"),
        "no such mode": layer(mode="columns" if odd else "states"),
        "no such mode on any": layer(mode="columns"),
        "fine": layer(mode="rows"),
    }
    group.close()
    return found


def test_groups_and_layers_that_differ_are_refused() -> None:
    found = as_processes(2, other_arguments)
    said = "expected the same on all ranks, got"
    for name, held in {
        "shards": "8 on rank 0, 9 on rank 1",
        "page_size": "16 on rank 0, 32 on rank 1",
        "dtype": '"torch.bfloat16" on rank 0, "torch.float32" on rank 1',
        "mode": '"states" on rank 0, "rows" on rank 1',
    }.items():
        assert alike([f[name] for f in found], "ValueError") == f"{name}: {said} {held}"
    text = alike([f["weights"] for f in found], "ValueError")
    assert text.startswith(f"weights: {said} ")
    assert text.endswith(" on rank 1")
    wrong = "mode: expected states, rows, got columns"
    assert (
        alike([f["no such mode"] for f in found], "RemoteError") == f"rank 1: ValueError: {wrong}"
    )
    assert alike([f["no such mode on any"] for f in found], "ValueError") == wrong
    assert [f["fine"].kind for f in found] == ["returned"] * 2
    assert all(end.seconds < 1 for f in found for end in f.values())


# --- arguments of calls ------------------------------------------------------------------------

BAD = ("width", "rows", "dtype", "counts", "room")


def bad_call(decoder: Decoder, what: str, odd: bool) -> Ended:
    x, counts, cache = decoder.x[:2], [2], decoder.cache
    if what == "room":  # a cache that has less room here
        cache = decoder.new_cache(32 if odd else 640)
        x, counts = decoder.x, [70]
    elif odd:
        changed = {"width": x[:, :-1], "rows": decoder.x[:3], "dtype": x.double()}
        x = changed.get(what, x)
        counts = [1] if what == "counts" else counts
    before = cache.lengths
    end = ending(lambda: decoder.dealt(x, counts, cache))
    assert cache.lengths == before
    return end


def with_bad_calls(options: dict[str, Any]) -> tuple[list[Tensor], list[Tensor], dict[str, Ended]]:
    """Tokens without and with bad calls between them."""
    group = ContextGroup(page_size=16)
    decoder = Decoder(group, **options)
    plain = [decoder.token(i) for i in range(2 * len(BAD))]
    disturbed, found = [], {}
    for i, what in enumerate(BAD):
        found[what] = bad_call(decoder, what, group.rank == 1)
        disturbed.append(decoder.token(2 * i))
        found[f"{what} on all"] = bad_call(decoder, what, True)
        disturbed.append(decoder.token(2 * i + 1))
    group.close()
    return plain, disturbed, found


def with_bad_calls_in_all_modes() -> list[Any]:
    return [with_bad_calls(options) for options in MODES]


def test_a_bad_argument_is_an_error_everywhere_and_the_next_call_is_right() -> None:
    for mode in zip(*as_processes(2, with_bad_calls_in_all_modes), strict=True):
        for plain, disturbed, _ in mode:
            assert all(torch.equal(*pair) for pair in zip(plain, disturbed, strict=True))
        for what in BAD:
            ended = [found[what] for _, _, found in mode]
            text = alike(ended, "RemoteError")
            assert text.startswith("rank 1: "), text
            assert all(end.seconds < 1 for end in ended)
            if what != "counts":  # the same mistake everywhere: everyone's own error
                own = [found[f"{what} on all"] for _, _, found in mode]
                assert own[0].kind not in ("RemoteError", "returned")
                assert {end.kind for end in own} == {own[0].kind}
                assert text == f"rank 1: {own[1].kind}: {own[1].text.splitlines()[0]}"


# --- groups that end ---------------------------------------------------------------------------


def ending_calls() -> dict[str, Ended]:
    """Groups of which rank 1 does something that ends them, one after the other."""
    found = {}

    def run(what: str, **options: Any) -> Decoder:
        return Decoder(ContextGroup(page_size=16, timeout=options.pop("timeout", 20.0)), **options)

    decoder = run("raises")
    odd = decoder.group.rank == 1
    with mock.patch("tamis.distributed.deepseek.attend_by_states") as attend:
        attend.side_effect = OSError("the disk is full") if odd else attend_by_states
        found["raises"] = ending(decoder.token)
    found["raised"] = ending(decoder.token)

    decoder = run("closes")
    if odd:
        decoder.group.close()
    found["closes"] = ending(decoder.token)

    decoder = run("slow", timeout=0.5)
    if odd:
        time.sleep(1)
    found["slow"] = ending(decoder.token)

    decoder = run("another layer")
    if odd:
        decoder.dealt._weights += 1
    found["another layer"] = ending(decoder.token)
    if odd:
        decoder.dealt._weights -= 1
    found["the same again"] = ending(decoder.token)

    first = decoder.dealt.step([1], decoder.cache.table)
    second = decoder.dealt.step([3], decoder.cache.table)
    step, x = (first, decoder.x[:1]) if odd else (second, decoder.x[:3])
    found["an older step"] = ending(lambda: decoder.dealt(x, step, decoder.cache))
    found["the last step"] = ending(lambda: decoder.dealt(decoder.x[:3], second, decoder.cache))
    decoder.group.close()
    return found


def test_what_ends_a_group_is_said_on_all_ranks_at_once() -> None:
    found = as_processes(3, ending_calls)
    others = [found[0], found[2]]
    text = "rank 1: OSError: the disk is full"
    assert alike([f["raises"] for f in others], "RemoteError") == text
    assert (found[1]["raises"].kind, found[1]["raises"].text) == ("OSError", "the disk is full")
    assert alike([f["raised"] for f in found], "RemoteError") == text
    assert alike([f["closes"] for f in found], "RemoteError") == "rank 1: has closed the group"
    text = alike([f["slow"] for f in found], "RemoteError")
    assert text.startswith("rank 1: at work since step ")
    assert text.endswith("; others waited timeout=0.5 s")
    text = alike([f["another layer"] for f in found], "RemoteError")
    assert text == "rank 1: makes another call than rank 0, or has other counts, lengths or sizes"
    assert {f["the same again"].kind for f in found} == {"returned"}
    text = alike([f["an older step"] for f in found], "RemoteError")
    assert (
        text
        == "rank 1: ValueError: counts: expected the last step of the cache's table, got another"
    )
    assert {f["the last step"].kind for f in found} == {"returned"}
    assert all(f[name].seconds < 1 for f in found for name in f if name != "slow")
    assert all(f["slow"].seconds < 2.5 for f in found)


# --- ranks that are gone -----------------------------------------------------------------------


@pytest.mark.parametrize(("world", "victim"), [(2, 0), (4, 2)])
def test_a_killed_rank_is_named(tmp_path: Path, world: int, victim: int) -> None:
    ended, sent = disturb(tmp_path, world, victim, signal.SIGKILL, seed=world)
    assert [(end.kind, end.ranks) for end in ended] == [("RankLost", (victim,))] * (world - 1)
    assert len({end.text.partition(": ")[2] for end in ended}) == 1, ended
    assert all(end.at - sent < 2 for end in ended), [end.at - sent for end in ended]


def test_a_stopped_rank_is_named_after_the_timeout(tmp_path: Path) -> None:
    ended, sent = disturb(tmp_path, 3, 0, signal.SIGSTOP, timeout=1.0)
    assert [(end.kind, end.ranks) for end in ended] == [("RankLost", (0,))] * 2
    assert all(0.5 < end.at - sent < 3 for end in ended), [end.at - sent for end in ended]


def test_a_store_that_is_lost_is_said(tmp_path: Path) -> None:
    store = StoreProcess(tmp_path)
    ranks = Processes(3, decode_until_disturbed, tmp_path, 20.0, {}, store=store.address)
    wait_for(tmp_path / f"going{rank}" for rank in range(3))
    store.process.kill()
    time.sleep(0.1)
    ranks.ranks[1].kill()
    killed = time.monotonic()
    ended = ranks.results(of=[0, 2])
    for end in ended:
        assert (end.kind, end.ranks) == ("RankLost", ())
        assert end.text.endswith(f"; nor from the store, 127.0.0.1:{store.address[1]})")
        assert end.at - killed < 2

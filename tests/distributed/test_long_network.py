"""Ranks in a network that is late and loses packets, and one that is cut."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from faults import Decoder, decode_until_disturbed, wait_for
from network import Network, address, serve_store
from ranks import Processes, as_processes, new_context
from torch import Tensor, equal

from tamis.distributed import ContextGroup

DELAY, LOSS, STEPS = 0.0005, 0.01, 200


@contextmanager
def ranks_in_network(
    folder: Path, world: int, delay: float, loss: float, work: Any, *arguments: Any
) -> Iterator[tuple[Processes, Network]]:
    """One node for each rank, and one for the store."""
    folder.mkdir(exist_ok=True)
    port = folder / "port"
    network = Network(world + 1, delay, loss)
    host = new_context().Process(
        target=serve_store, args=(network.door(world), str(port)), daemon=True
    )
    host.start()
    wait_for([port])
    ranks = Processes(
        world,
        work,
        *arguments,
        store=(address(world), int(port.read_text())),
        enter=[network.door(rank) for rank in range(world)],
    )
    try:
        yield ranks, network
    finally:
        ranks.kill()
        host.kill()
        network.close()


class Decoded(NamedTuple):
    outs: list[Tensor]
    seconds: float  # of a step, the median
    messages: int  # of a step


def decode(options: dict[str, Any]) -> Decoded:
    group = ContextGroup(page_size=16)
    decoder = Decoder(group, **options)
    transport = group._transport
    outs, seconds, messages = [], [], []
    with mock.patch.object(transport, "exchange", wraps=transport.exchange) as exchange:
        for i in range(STEPS):
            begin, before = time.monotonic(), exchange.call_count
            outs.append(decoder.token(i))
            seconds.append(time.monotonic() - begin)
            messages.append(exchange.call_count - before)
    group.close()
    return Decoded(outs, statistics.median(seconds), max(messages))


@pytest.mark.parametrize("mode", ["states", "rows"])
def test_a_late_network_that_loses_packets_changes_no_bits(tmp_path: Path, mode: str) -> None:
    options = {"mode": mode}
    plain = as_processes(2, decode, options)
    runs = {}
    for name, delay, loss in (("quick", 0.0, 0.0), ("late", DELAY, LOSS)):
        with ranks_in_network(tmp_path / name, 2, delay, loss, decode, options) as (ranks, _):
            runs[name] = ranks.results()
    for rank, want in enumerate(plain):
        for run in runs.values():
            assert all(equal(*pair) for pair in zip(run[rank].outs, want.outs, strict=True))
        quick, late = (run[rank] for run in runs.values())
        most = quick.seconds + 3 * late.messages * 2 * DELAY
        print(
            f"{mode}: {quick.seconds * 1e3:.2f} ms a step without delay, "
            f"{late.seconds * 1e3:.2f} with, {late.messages} messages, at most {most * 1e3:.2f}"
        )
        assert late.messages * DELAY < late.seconds <= most


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_cut_off_is_named(tmp_path: Path, victim: int) -> None:
    timeout = 2.0
    with ranks_in_network(
        tmp_path, 3, DELAY, LOSS, decode_until_disturbed, tmp_path, timeout, {}
    ) as (ranks, network):
        wait_for(tmp_path / f"going{rank}" for rank in range(3))
        network.cut(victim)
        cut = time.monotonic()
        for rank, end in enumerate(ranks.results()):
            assert end.kind == "RankLost", end
            assert end.at - cut < timeout + 2, end
            if rank == victim:
                assert end.ranks == ()
                assert f"nor from the store, {address(3)}:" in end.text
            else:
                assert end.ranks == (victim,)

"""Who holds which position, who computes which token, and what that takes."""

from __future__ import annotations

import time
from itertools import product

import pytest
import torch

from tamis.distributed import (
    ContextGroup,
    DealtCache,
    DealtTable,
    Layout,
    memory_plan,
    unzigzag,
    zigzag,
)

LAYOUTS = [
    Layout(shards, page_size, world)
    for shards, page_size, world in product((1, 2, 5, 8, 64), (1, 3, 16), (1, 2, 3, 8, 64))
    if world <= shards
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_position_is_held_once_in_the_order_of_the_sequence(layout: Layout) -> None:
    length = 3 * layout.period + layout.page_size + 1
    positions = torch.arange(length)
    shards = positions // layout.page_size % layout.shards
    owner = layout.owner(positions)
    assert owner.tolist() == [layout.owner(p) for p in range(length)]
    for rank in range(layout.world):
        held = layout.held(rank)
        mine = positions[owner == rank]
        assert torch.equal(layout.holds(positions, rank), owner == rank)
        assert [layout.holds(p, rank) for p in range(length)] == (owner == rank).tolist()
        assert torch.equal(mine, positions[(shards >= held.start) & (shards < held.stop)])
        local = layout.local(mine, rank)
        assert torch.equal(local, torch.arange(len(mine)))
        assert torch.equal(layout.globalise(local, rank), mine)
        for n in (0, 1, layout.page_size, layout.period - 1, layout.period, length):
            count = int((mine < n).sum())
            assert layout.local_length(n, rank) == count
            assert layout.local_length(torch.tensor([n]), rank).tolist() == [count]
            assert count == sum(layout.shard_length(n, shard) for shard in held)
    assert sum(len(layout.held(rank)) for rank in range(layout.world)) == layout.shards


@pytest.mark.parametrize(("shards", "page_size", "world"), [(2, 16, 3), (0, 16, 0), (4, 0, 2)])
def test_layouts_that_cannot_be_are_refused(shards: int, page_size: int, world: int) -> None:
    with pytest.raises(ValueError, match=r"^(shards|page_size|world): expected at least \d"):
        Layout(shards, page_size, world).checked()


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_zigzag_shares_all_tokens_evenly(world: int) -> None:
    counts = [0, 1, 2 * world, 101, 5, 1000]
    shares = [zigzag(counts, rank, world) for rank in range(world)]
    assert torch.cat(shares).sort().values.tolist() == list(range(sum(counts)))
    # Of a long sequence every rank has as many tokens, and as many keys to look at.
    work = [int((share[share >= sum(counts[:-1])] - sum(counts[:-1])).sum()) for share in shares]
    assert max(work) <= 1.05 * min(work)
    rows = torch.randn(sum(counts), 3)
    assert torch.equal(unzigzag([rows[share] for share in shares], counts), rows)
    with pytest.raises(ValueError, match="parts: expected 1109 rows in all, as counts, got 1108"):
        unzigzag([rows[:1108]], [1109])


@pytest.mark.parametrize("replicated", [(), ("index_k",)])
def test_a_memory_plan_is_what_caches_take(replicated: tuple[str, ...]) -> None:
    rows = {"kv": (1, 32), "kr": (1, 8), "index_k": (1, 16)}
    group = ContextGroup(shards=5, page_size=16)
    table = DealtTable(group, sequences=3, tokens=1000, replicated=bool(replicated))
    caches = [DealtCache(rows, table, replicated=replicated) for _ in range(2)]
    plan = memory_plan(
        1000, 1, rows, layers=2, sequences=3, shards=5, page_size=16, replicated=replicated
    )
    held = [(name, pool.nbytes) for cache in caches for name, pool in cache.tensors.items()]
    assert plan.dealt == sum(size for name, size in held if name not in replicated)
    assert plan.replicated == sum(size for name, size in held if name in replicated)
    assert plan.total == sum(plan)


def test_a_step_costs_what_is_new_whatever_there_is() -> None:
    def seconds(length: int) -> float:
        table = DealtTable(ContextGroup(shards=8), sequences=1, tokens=length + 2000)
        table.commit(table.reserve([length]))

        def step() -> float:
            begin = time.perf_counter()
            table.commit(table.reserve([1]))
            return time.perf_counter() - begin

        return min(step() for _ in range(500))

    short, long = seconds(10_000), seconds(10_000_000)
    assert long < 2 * short

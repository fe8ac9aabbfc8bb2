"""Decoding over ranks: what one layer costs here, and what that says of more ranks.

    torchrun --nproc-per-node 2 bench/distributed.py [--keys 131072] [--steps 20] [--cores 64]

One attention layer of DeepSeek-V3.2 (128 heads, latent 512, 64 index heads, 2048 keys selected),
one new token, keys random. Rank 0 first does alone what all do together then, one thread a rank.
From these times, a collective's and a link's it extrapolates: `--cores` a rank, and links of
`--link` bytes per second with `--latency` microseconds a collective.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from tamis.distributed import ContextGroup, DealtCache, DealtTable, Latent, attend, select
from tamis.distributed.selection import first_count

HEADS, LATENT, ROPE, INDEX_HEADS, INDEX, COUNT = 128, 512, 64, 64, 128, 2048
LAYERS = 61


class Measured(NamedTuple):
    """Seconds of one layer and token, of selection and of attention."""

    select: float
    attend: float


class Rates(NamedTuple):
    """What the table is made of.

    Parameters
    ----------
    key : float
        seconds of one index key
    attend : float
        seconds of the attention to all selected keys
    collective : float
        seconds of a collective that carries nothing
    link : float
        bytes per second that a rank takes in
    """

    key: float
    attend: float
    collective: float
    link: float


def median(work: Callable[[], object], steps: int) -> float:
    """Seconds of a call, after one to warm up."""
    found = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return statistics.median(found[1:])


def measure(group: ContextGroup, keys: int, steps: int) -> Measured:
    """One token on the ranks of a group."""
    table = DealtTable(group, sequences=1, tokens=keys)
    rows = {"kv": (1, LATENT), "kr": (1, ROPE), "index_k": (1, INDEX)}
    cache = DealtCache(rows, table)
    random = torch.Generator().manual_seed(group.rank)
    for pool in cache.tensors.values():
        for page in pool:
            page.copy_(torch.randn(page.shape, generator=random))
    table.commit(table.reserve([keys - 1]))
    step = table.reserve([1])
    random.manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).bfloat16()

    index_query, weights = normal(1, INDEX_HEADS, INDEX), normal(1, INDEX_HEADS)
    query, query_rope = normal(1, HEADS, LATENT), normal(1, HEADS, ROPE)
    pools = cache.tensors["kv"], cache.tensors["kr"]
    latent = Latent(query, query_rope, *pools, scale=192**-0.5)

    def selection() -> Tensor:
        return select(group, index_query, cache.tensors["index_k"], weights, step, count=COUNT)[0]

    found = selection()
    return Measured(
        median(selection, steps), median(lambda: attend(group, latent, found, step), steps)
    )


def latency(group: ContextGroup, steps: int) -> float:
    """Seconds of a message that carries nothing."""

    def nothing() -> None:
        with group.alike(0) as call:
            call.agree()

    return median(nothing, 20 * steps)


def layer_seconds(rates: Rates, keys: int, world: int) -> float:
    """One layer's selection and attention of one token, on `world` ranks with `world` shards."""
    compute = keys / world * rates.key + rates.attend / world
    if world == 1:
        return compute
    lists = (world - 1) * first_count(COUNT, world) * 8
    states = (world - 1) / world * HEADS * (LATENT + 2) * 4
    heads = (world - 1) / world * HEADS * INDEX * 2
    return compute + 3 * rates.collective + (lists + states + heads) / rates.link


def table_of(rates: Rates) -> str:
    """Milliseconds of all layers, by context and ranks."""
    worlds = (1, 2, 4, 8, 16, 32, 64)
    lines = ["| keys | " + " | ".join(f"W = {world}" for world in worlds) + " |"]
    lines.append("| --- |" + " --- |" * len(worlds))
    for keys in (128 << 10, 1 << 20, 10 << 20):
        times = [LAYERS * layer_seconds(rates, keys, world) * 1e3 for world in worlds]
        lines.append(f"| {keys} | " + " | ".join(f"{ms:.1f}" for ms in times) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, extrapolate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=131072)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cores", type=int, default=64, help="a rank, in the extrapolation")
    parser.add_argument("--link", type=float, default=12.5e9, help="bytes per second")
    parser.add_argument("--latency", type=float, help="microseconds; by default the measured one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    alone = dist.new_group([0])
    one = measure(ContextGroup(alone), options.keys, options.steps) if rank == 0 else None
    dist.barrier()
    group = ContextGroup()
    every, empty = measure(group, options.keys, options.steps), latency(group, options.steps)
    if one is not None:
        print(f"{options.keys} keys, one token, one thread a rank; milliseconds")
        for name, figures in ((1, one), (world, every)):
            parts = f"select {figures.select * 1e3:.2f}, attend {figures.attend * 1e3:.2f}"
            print(f"W = {name}: {parts}, together {sum(figures) * 1e3:.2f}")
        print(f"a collective of nothing: {empty * 1e6:.0f} us")
        rates = Rates(
            one.select / options.keys / options.cores,
            one.attend / options.cores,
            empty if options.latency is None else options.latency * 1e-6,
            options.link,
        )
        print(f"\n{LAYERS} layers, {options.cores} cores a rank, {options.link / 1e9:g} GB/s; ms")
        print(table_of(rates))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

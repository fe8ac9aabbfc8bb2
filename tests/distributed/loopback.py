"""Counts what ranks send over the loopback interface of a network namespace of their own.

unshare -n python loopback.py WORLD HEADS LATENT COUNT MODE INDEX_KEYS
prints bytes of one layer and token, of all ranks: on the interface, and by the formula.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from ranks import as_processes
from test_wire import held_rows
from torch import Tensor

from tamis.distributed import ContextGroup, DealtSparseAttention, decode_bytes, step_bytes
from tamis.distributed.attention import attend_by_rows
from tamis.nn import DeepSeekSparseAttention

STEPS, LENGTH, ROPE, VALUES = 20, 4096, 64, 128


def on_interface() -> int:
    """Bytes so far, each once."""
    (counts,) = (
        line.split(":")[1].split()
        for line in Path("/proc/self/net/dev").read_text().splitlines()
        if line.split(":")[0].strip() == "lo"
    )
    return int(counts[8])  # transmitted; before are eight numbers of what was received


def measured(
    heads: int, latent: int, count: int, options: dict[str, Any]
) -> tuple[float, float, float]:
    """Bytes of a step of one token: of the interface, sent by this rank, and by its formula."""
    torch.manual_seed(3)
    layer = DeepSeekSparseAttention(
        hidden=256, heads=heads, q_lora_rank=64, kv_lora_rank=latent, rope_dim=ROPE, nope_dim=32,
        v_dim=VALUES, index_heads=4, index_dim=128, topk=count,
    )  # fmt: skip
    group = ContextGroup()
    dealt = DealtSparseAttention(layer, group, **options)
    cache = dealt.make_cache(dealt.make_table(sequences=1, tokens=LENGTH + STEPS))
    for pool in cache.tensors.values():
        pool.normal_()
    cache.table.commit(cache.table.reserve([LENGTH]))
    held = [0]

    def counting(group: ContextGroup, call: Any, latent: Any, chosen: Tensor, *rest: Any) -> Tensor:
        held.append(held_rows(group, chosen, rest[0]))
        return attend_by_rows(group, call, latent, chosen, *rest)

    torch.manual_seed(4)
    hidden = torch.randn(STEPS, 256).bfloat16()
    said = 0
    dist.barrier()
    before, sent = on_interface(), group.sent
    with mock.patch("tamis.distributed.deepseek.attend_by_rows", counting):
        for x in hidden:
            again = dealt._selection.second_rounds
            dealt(x[None], [1], cache)
            again = dealt._selection.second_rounds - again
            said += step_bytes(group.world) + decode_bytes(
                group.layout, group.rank, tokens=1, count=count, heads=heads, latent=latent,
                rope=ROPE, values=VALUES, again=again, selected=held[-1], **options,
            )  # fmt: skip
    sent = group.sent - sent
    dist.barrier()
    found = on_interface() - before
    group.close()
    return found / STEPS, sent / STEPS, said / STEPS


def main() -> None:
    world, heads, latent, count = map(int, sys.argv[1:5])
    options = {"mode": sys.argv[5], "index_keys": sys.argv[6]}
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ranks = as_processes(world, measured, heads, latent, count, options)
    assert all(sent == said for _, sent, said in ranks), ranks
    print(ranks[0][0], sum(said for *_, said in ranks))


if __name__ == "__main__":
    main()

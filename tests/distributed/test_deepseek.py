"""A DeepSeek layer over ranks, beside the layer of one process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tamis.distributed import ContextGroup, DealtSparseAttention, unzigzag, zigzag
from tamis.nn import DeepSeekSparseAttention

sys.path.insert(0, str(Path(__file__).parent))
from ranks import as_processes, as_threads

SIZES: dict[str, Any] = {
    "hidden": 96, "heads": 16, "q_lora_rank": 48, "kv_lora_rank": 64, "rope_dim": 16, "nope_dim": 16,
    "v_dim": 16, "index_heads": 4, "index_dim": 32, "topk": 48,
}  # fmt: skip
STEPS = ([0, 130, 57], [3, 1, 200], [1, 1, 1], [4, 0, 2], [1, 40, 0])


def layer_of(dtype: torch.dtype, **sizes: Any) -> DeepSeekSparseAttention:
    torch.manual_seed(3)
    return DeepSeekSparseAttention(**SIZES | sizes, dtype=dtype)


def hidden(dtype: torch.dtype) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    return [torch.randn(sum(counts), 96, generator=random).to(dtype) for counts in STEPS]


def on_one(dtype: torch.dtype, **sizes: Any) -> tuple[list[torch.Tensor], dict[str, Any]]:
    layer = layer_of(dtype, **sizes)
    cache = layer.make_cache(sequences=3, pages=40, page_size=16)
    outs = [layer.attend(x, counts, cache) for x, counts in zip(hidden(dtype), STEPS, strict=True)]
    rows = {}
    for name, pool in cache.tensors.items():
        rows[name] = [
            pool[cache.block_table()[b].long()].flatten(0, 1)[:n]
            for b, n in enumerate(cache.lengths)
        ]
    return outs, rows


def over_ranks(
    layer: DeepSeekSparseAttention, prefill: bool, shards: int | None, options: dict[str, Any], page_size: int = 16
) -> dict[str, Any]:
    group = ContextGroup(page_size=page_size, shards=shards)
    dtype = layer.w_uk.dtype
    dealt = DealtSparseAttention(layer, group, **options)
    table = dealt.make_table(sequences=3, tokens=640)
    cache = dealt.make_cache(table)
    outs = []
    for x, counts in zip(hidden(dtype), STEPS, strict=True):
        if prefill:
            own = zigzag(counts, group.rank, group.world)
            outs.append(dealt.prefill(x[own], counts, cache))
        else:
            outs.append(dealt.attend(x, counts, cache))
    return {"outs": outs, "tensors": cache.tensors, "table": table.own.block_table(), "lengths": table.lengths,
            "layout": group.layout, "rank": group.rank}


MODES = [
    {"mode": mode, "index_keys": keys} for mode in ("states", "rows") for keys in ("dealt", "replicated")
]


@pytest.mark.parametrize("options", MODES, ids=lambda o: "-".join(o.values()))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_decoding_over_threads(dtype: torch.dtype, options: dict[str, Any]) -> None:
    world = 2 if options["mode"] == "rows" else 8
    results = as_threads(world, over_ranks, layer_of(dtype), False, None, options)
    wanted, _ = on_one(dtype)
    for step, want in enumerate(wanted):
        got = torch.cat([result["outs"][step] for result in results], 1)
        if options["mode"] == "rows":
            assert torch.equal(got, want)
        else:
            print((got == want).float().mean(), (got.float() - want.float()).abs().max())
            assert torch.allclose(got.float(), want.float(), atol=0.02, rtol=0.02)


def sequences_of(results: list[dict[str, Any]], name: str) -> list[torch.Tensor]:
    """Cached rows of each sequence, put together from all ranks."""
    layout, found = results[0]["layout"], []
    for b, length in enumerate(results[0]["lengths"]):
        positions = torch.arange(length)
        owner = layout.owner(positions)
        rows: Any = None
        for rank, result in enumerate(results):
            pool = result["tensors"][name]
            mine = positions[owner == rank]
            local = layout.local(mine, rank)
            pages = result["table"][b, local // pool.shape[1]].long()
            held = pool.flatten(0, 1)[pages * pool.shape[1] + local % pool.shape[1]]
            rows = held.new_empty(length, *held.shape[1:]) if rows is None else rows
            rows[mine] = held
        found.append(rows)
    return found


@pytest.mark.parametrize("options", MODES, ids=lambda o: "-".join(o.values()))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_prefill_over_threads(dtype: torch.dtype, options: dict[str, Any]) -> None:
    results = as_threads(5, over_ranks, layer_of(dtype), True, None, options)
    layer = layer_of(dtype)
    wanted, rows = on_one(dtype)
    for step, counts in enumerate(STEPS):
        got = unzigzag([result["outs"][step] for result in results], counts)
        values = torch.einsum("tnl,nlv->tnv", wanted[step], layer.w_uv)
        want = (values.flatten(1) @ layer.w_o)
        print((got == want).float().mean(), (got.float() - want.float()).abs().max())
        assert torch.allclose(got.float(), want.float(), atol=0.02, rtol=0.02)
    for name in rows:
        if name == "index_k" and options["index_keys"] == "replicated":
            continue
        for mine, want in zip(sequences_of(results, name), rows[name], strict=True):
            assert torch.equal(mine, want)


@pytest.mark.parametrize("options", MODES, ids=lambda o: "-".join(o.values()))
def test_processes(options: dict[str, Any]) -> None:
    dtype = torch.bfloat16
    results = as_processes(2, over_ranks, layer_of(dtype), False, 4, options)
    for result, want in zip(results, as_threads(2, over_ranks, layer_of(dtype), False, 4, options), strict=True):
        for got, one in zip(result["outs"], want["outs"], strict=True):
            assert torch.equal(got, one)

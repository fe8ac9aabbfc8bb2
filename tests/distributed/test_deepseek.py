"""A DeepSeek layer over ranks, beside the layer of one process."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from ranks import as_processes, as_threads
from torch import Tensor

from tamis.distributed import ContextGroup, DealtSparseAttention, Layout, unzigzag, zigzag
from tamis.nn import DeepSeekSparseAttention

SIZES: dict[str, Any] = {
    "hidden": 96, "heads": 16, "q_lora_rank": 48, "kv_lora_rank": 64, "rope_dim": 16,
    "nope_dim": 16, "v_dim": 16, "index_heads": 4, "index_dim": 32, "topk": 48,
}  # fmt: skip
# New tokens of three sequences: chunks of any length, steps of a few, some with none.
STEPS = ([0, 130, 57], [3, 1, 200], [1, 1, 1], [4, 0, 2], [1, 40, 0])
DTYPES = [torch.float16, torch.bfloat16, torch.float32]
MODES = [
    {"mode": mode, "index_keys": keys}
    for mode in ("states", "rows")
    for keys in ("dealt", "replicated")
]


def layer_of(dtype: torch.dtype) -> DeepSeekSparseAttention:
    torch.manual_seed(3)
    return DeepSeekSparseAttention(**SIZES, dtype=dtype)


def hidden(dtype: torch.dtype) -> list[Tensor]:
    random = torch.Generator().manual_seed(4)
    return [torch.randn(sum(counts), 96, generator=random).to(dtype) for counts in STEPS]


class Run(NamedTuple):
    """What a rank has in the end, after the steps."""

    outs: list[Tensor]
    layout: Layout
    lengths: list[int]
    block_table: Tensor
    tensors: dict[str, Tensor]
    whole_block_table: Tensor | None


def on_one(layer: DeepSeekSparseAttention) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
    """Latents of every step, and the cached rows of each sequence, without ranks."""
    dtype = layer.w_uk.dtype
    cache = layer.make_cache(sequences=3, pages=40, page_size=16)
    outs = [layer.attend(x, counts, cache) for x, counts in zip(hidden(dtype), STEPS, strict=True)]
    rows = {
        name: [
            pool[cache.block_table()[b].long()].flatten(0, 1)[:n]
            for b, n in enumerate(cache.lengths)
        ]
        for name, pool in cache.tensors.items()
    }
    return outs, rows


def over_ranks(
    layer: DeepSeekSparseAttention,
    options: dict[str, Any],
    *,
    shards: int | None = None,
    page_size: int = 16,
    prefill: int = 0,
) -> Run:
    """Runs the steps, the first `prefill` of them by shares: hidden states of those."""
    group = ContextGroup(page_size=page_size, shards=shards)
    dealt = DealtSparseAttention(layer, group, **options)
    table = dealt.make_table(sequences=3, tokens=640)
    cache = dealt.make_cache(table)
    outs = []
    for i, (x, counts) in enumerate(zip(hidden(layer.w_uk.dtype), STEPS, strict=True)):
        if i < prefill:
            outs.append(dealt.prefill(x[zigzag(counts, group.rank, group.world)], counts, cache))
        else:
            outs.append(dealt.attend(x, counts, cache))
    whole = None if table.whole is None else table.whole.block_table()
    return Run(outs, group.layout, table.lengths, table.own.block_table(), cache.tensors, whole)


def rows_of(runs: list[Run], name: str) -> list[Tensor]:
    """Cached rows of each sequence, put together from all ranks."""
    layout, found = runs[0].layout, []
    for b, length in enumerate(runs[0].lengths):
        positions = torch.arange(length)
        owner = layout.owner(positions)
        shape = runs[0].tensors[name].shape[2:]
        rows = torch.zeros(length, *shape, dtype=runs[0].tensors[name].dtype)
        for rank, run in enumerate(runs):
            pool = run.tensors[name]
            mine = positions[owner == rank]
            page, row = layout.local(mine, rank) // pool.shape[1], layout.local(mine, rank)
            rows[mine] = pool[run.block_table[b, page].long(), row % pool.shape[1]]
        found.append(rows)
    return found


def check_caches(runs: list[Run], wanted: dict[str, list[Tensor]], options: dict[str, Any]) -> None:
    for name, want in wanted.items():
        if name == "index_k" and options["index_keys"] == "replicated":
            for run in runs:
                assert run.whole_block_table is not None
                pool = run.tensors[name]
                for b, n in enumerate(run.lengths):
                    held = pool[run.whole_block_table[b].long()].flatten(0, 1)[:n]
                    assert torch.equal(held, want[b])
        else:
            for got, rows in zip(rows_of(runs, name), want, strict=True):
                assert torch.equal(got, rows)


def rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


def exact(layer: DeepSeekSparseAttention) -> list[Tensor]:
    """Latents in float64, of the cached rows and queries of a layer whose selection is settled."""
    found: list[Tensor] = []
    cache = layer.make_cache(sequences=3, pages=40, page_size=16)
    for x, counts in zip(hidden(layer.w_uk.dtype), STEPS, strict=True):
        step = layer.step(counts, cache.table)
        main = layer.main_prolog(x, step, cache.tensors["kv"], cache.tensors["kr"])
        _, _, selected = layer._attend(x, step, cache, None)
        tokens, first = [], 0
        for b, count in enumerate(counts):
            pages = cache.block_table()[b].long()
            kv, kr = (cache.tensors[name][pages].flatten(0, 2).double() for name in ("kv", "kr"))
            for t in range(first, first + count):
                listed = selected[t, 0][selected[t, 0] >= 0].long()
                scores = main.query[t].double() @ kv[listed].T
                scores += main.query_rope[t].double() @ kr[listed].T
                tokens.append((scores * layer.scale_value).softmax(-1) @ kv[listed])
            first += count
        found.append(torch.stack(tokens))
    return found


@pytest.mark.parametrize("options", MODES[:2], ids=lambda o: "-".join(o.values()))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_states_have_the_same_bits_on_any_number_of_ranks(
    dtype: torch.dtype, options: dict[str, Any]
) -> None:
    layer = layer_of(dtype)
    one, rows = on_one(layer)
    wanted = exact(layer)
    first: list[Tensor] = []
    for world in (1, 3, 8):
        runs = as_threads(world, over_ranks, layer, options, shards=8)
        outs = [torch.cat([run.outs[i] for run in runs], 1) for i in range(len(STEPS))]
        first = first or outs
        for got, same, alone, want in zip(outs, first, one, wanted, strict=True):
            assert torch.equal(got, same), world
            assert rms(got - want) <= 1.1 * rms(alone - want)
        check_caches(runs, rows, options)


@pytest.mark.parametrize("options", MODES[2:], ids=lambda o: "-".join(o.values()))
@pytest.mark.parametrize(
    ("dtype", "world"), [(torch.float16, 2), (torch.bfloat16, 2), (torch.float32, 5)], ids=str
)
def test_rows_have_the_bits_of_one_rank(
    dtype: torch.dtype, world: int, options: dict[str, Any]
) -> None:
    layer = layer_of(dtype)
    one, rows = on_one(layer)
    runs = as_threads(world, over_ranks, layer, options)
    for i, want in enumerate(one):
        assert torch.equal(torch.cat([run.outs[i] for run in runs], 1), want)
    check_caches(runs, rows, options)


@pytest.mark.parametrize("options", MODES, ids=lambda o: "-".join(o.values()))
def test_prefill_by_shares_then_decoding(options: dict[str, Any]) -> None:
    layer = layer_of(torch.float32)
    one, rows = on_one(layer)
    runs = as_threads(5, over_ranks, layer, options, prefill=2)
    for i, (counts, latent) in enumerate(zip(STEPS, one, strict=True)):
        if i < 2:
            got = unzigzag([run.outs[i] for run in runs], counts)
            values = torch.einsum("tnl,nlv->tnv", latent, layer.w_uv)
            assert torch.allclose(got, values.flatten(1) @ layer.w_o, atol=2e-6, rtol=1e-5)
        elif options["mode"] == "rows":
            assert torch.equal(torch.cat([run.outs[i] for run in runs], 1), latent)
        else:
            got = torch.cat([run.outs[i] for run in runs], 1)
            assert torch.allclose(got, latent, atol=2e-6, rtol=1e-5)
    check_caches(runs, rows, options)


def test_shares_of_16_bits_are_rows_of_one_rank() -> None:
    layer = layer_of(torch.bfloat16)
    one, rows = on_one(layer)
    options = {"mode": "rows", "index_keys": "dealt"}
    runs = as_threads(3, over_ranks, layer, options, prefill=len(STEPS))
    for i, (counts, latent) in enumerate(zip(STEPS, one, strict=True)):
        got = unzigzag([run.outs[i] for run in runs], counts)
        want = torch.einsum("tnl,nlv->tnv", latent, layer.w_uv).flatten(1) @ layer.w_o
        assert torch.allclose(got, want, atol=1e-2, rtol=1e-2)
    check_caches(runs, rows, options)


def test_too_few_heads_for_rows_are_refused() -> None:
    def refused(layer: DeepSeekSparseAttention) -> str:
        with pytest.raises(ValueError, match="mode: ") as caught:
            over_ranks(layer, {"mode": "rows", "index_keys": "dealt"})
        return str(caught.value)

    found = as_threads(3, refused, layer_of(torch.bfloat16))
    want = (
        'mode: expected "states", or at least 8 heads on every rank with "rows" in torch.bfloat16, '
        "got 5 of 16 on one of 3"
    )
    assert found == [want] * 3


@pytest.mark.parametrize("options", MODES, ids=lambda o: "-".join(o.values()))
def test_processes_do_what_threads_do(options: dict[str, Any]) -> None:
    layer = layer_of(torch.bfloat16)
    how: dict[str, Any] = {"shards": 5, "page_size": 1, "prefill": 1}
    for run, want in zip(
        as_processes(2, over_ranks, layer, options, **how),
        as_threads(2, over_ranks, layer, options, **how),
        strict=True,
    ):
        for got, same in zip(run.outs, want.outs, strict=True):
            assert torch.equal(got, same)

"""A layer of Native Sparse Attention over ranks, beside the layer of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from ranks import as_processes, as_threads
from torch import Tensor

from tamis.distributed import ContextGroup, DealtNativeAttention, RemoteError, unzigzag, zigzag
from tamis.nn import Branches, NativeSparseAttention
from tamis.nn.rope import rotate, turn

SIZES: dict[str, Any] = {
    "hidden": 96, "heads": 8, "kv_heads": 2, "qk_dim": 48, "v_dim": 32, "compress_block_size": 8,
    "compress_stride": 4, "select_block_size": 8, "select_block_count": 6, "window_size": 40,
    "rope_dim": 16,
}  # fmt: skip
# New tokens of three sequences: one starts late; chunks that go around all shards, or lie on one.
STEPS = ([0, 130, 5], [3, 1, 260], [1, 1, 1], [4, 0, 2], [0, 0, 0], [1, 40, 0])
DTYPES = [torch.bfloat16, torch.float32]
WORLDS = [1, 2, 3, 8]


def layer_of(dtype: torch.dtype, **changed: Any) -> NativeSparseAttention:
    torch.manual_seed(3)
    layer = NativeSparseAttention(**SIZES | changed, dtype=dtype)
    for weight in layer.compressed.parameters():
        weight.copy_(torch.randn(weight.shape) / 3)
    layer.q_proj.weight.mul_(4)
    return layer


def hidden(dtype: torch.dtype, steps: Sequence[list[int]] = STEPS) -> list[Tensor]:
    random = torch.Generator().manual_seed(4)
    return [2 * torch.randn(sum(counts), 96, generator=random).to(dtype) for counts in steps]


class Run(NamedTuple):
    """What a rank has in the end, after the steps."""

    outs: list[Branches]
    windows: dict[str, list[Tensor]]


def over_ranks(
    layer: NativeSparseAttention, *, shards: int | None = None, page_size: int = 16
) -> Run:
    dealt = DealtNativeAttention(layer, ContextGroup(page_size=page_size, shards=shards))
    table = dealt.make_table(sequences=3, tokens=640)
    cache = dealt.make_cache(table)
    steps = zip(hidden(layer.q_proj.weight.dtype), STEPS, strict=True)
    outs = [dealt.attend(x, counts, cache) for x, counts in steps]
    assert table.whole is not None
    pages = table.whole.block_table().long()
    return Run(outs, windows_of(layer, cache.tensors, pages, table.lengths))


def windows_of(
    layer: NativeSparseAttention, pools: dict[str, Tensor], pages: Tensor, lengths: list[int]
) -> dict[str, list[Tensor]]:
    """Compressed keys and values of each sequence."""
    return {
        name: [
            pools[name][of_sequence].flatten(0, 1)[: max(n - 8 + 4, 0) // 4]
            for of_sequence, n in zip(pages, lengths, strict=True)
        ]
        for name in layer.compressed.cache_strides
    }


def on_one(layer: NativeSparseAttention) -> Run:
    cache = layer.make_cache(sequences=3, pages=60, page_size=16)
    steps = zip(hidden(layer.q_proj.weight.dtype), STEPS, strict=True)
    outs = [layer.attend(*layer.project(x), counts, cache) for x, counts in steps]
    pages = cache.block_table().long()
    return Run(outs, windows_of(layer, cache.tensors, pages, cache.lengths))


def by_sequence(steps: Sequence[Tensor]) -> list[Tensor]:
    """Rows of all steps, sequence by sequence."""
    parts = [rows.split(counts) for rows, counts in zip(steps, STEPS, strict=True)]
    return [torch.cat(of_sequence) for of_sequence in zip(*parts, strict=True)]


def exact(layer: NativeSparseAttention, blocks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The selected and the window branch in float64, of the blocks of each sequence."""
    rope = layer.rope
    projected = zip(*map(layer.project, hidden(layer.q_proj.weight.dtype)), strict=True)
    queries, keys, values = (by_sequence(part) for part in projected)
    found: list[tuple[Tensor, Tensor]] = []
    for query, key, value, listed in zip(queries, keys, values, blocks, strict=True):
        at = torch.arange(len(query))
        angles = turn(at, rope.frequencies, rope.attention_factor, torch.float32)
        query, key = (rotate(part, *angles).double() for part in (query, key[:, 1:]))
        before = at <= at[:, None]
        chosen = (listed[..., None] == at // 8).any(2).transpose(0, 1) & before  # [N2, T, n]
        near = before & (at > at[:, None] - 40)
        found.append(
            (
                softmax(query, key[:, 0], value[:, 1], chosen),
                softmax(query, key[:, 1], value[:, 2], near.expand_as(chosen)),
            )
        )
    selected, window = (torch.cat(part) for part in zip(*found, strict=True))
    return selected, window


def softmax(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    scores = torch.einsum("tgqd,ngd->gqtn", query.unflatten(1, (2, 4)), key) * 48**-0.5
    p = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
    return torch.einsum("gqtn,ngd->tgqd", p, value.double()).flatten(1, 2)


def together(runs: list[Run], branch: str) -> list[Tensor]:
    """A branch of all heads, from those of each rank, by step."""
    steps = zip(*(run.outs for run in runs), strict=True)
    return [torch.cat([getattr(out, branch) for out in step], 1) for step in steps]


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def layer(request: Any) -> NativeSparseAttention:
    return layer_of(request.param)


@pytest.fixture(scope="module")
def one(layer: NativeSparseAttention) -> Run:
    return on_one(layer)


@pytest.fixture(scope="module")
def worlds(layer: NativeSparseAttention) -> dict[int, list[Run]]:
    return {world: as_threads(world, over_ranks, layer, shards=8) for world in WORLDS}


@pytest.mark.parametrize("world", WORLDS)
def test_compressing_and_selecting_is_that_of_one_rank(
    worlds: dict[int, list[Run]], one: Run, world: int
) -> None:
    runs = worlds[world]
    for got, want in zip(together(runs, "compressed"), one.outs, strict=True):
        assert torch.equal(got, want.compressed)
    for run in runs:
        for got, want in zip(run.outs, one.outs, strict=True):
            assert torch.equal(got.blocks, want.blocks)
        for name, sequences in one.windows.items():
            for got, want in zip(run.windows[name], sequences, strict=True):
                assert torch.equal(got, want)


@pytest.mark.parametrize("branch", ["selected", "window"])
def test_errors_are_like_those_of_one_rank(
    layer: NativeSparseAttention, worlds: dict[int, list[Run]], one: Run, branch: str
) -> None:
    blocks = by_sequence([out.blocks for out in one.outs])
    want = exact(layer, blocks)[0 if branch == "selected" else 1]

    def errors(steps: Sequence[Tensor]) -> tuple[float, float]:
        off = (torch.cat(by_sequence(steps)).double() - want).abs()
        return float(off.max()), float(off.square().mean().sqrt())

    allowed = errors([getattr(out, branch) for out in one.outs])
    got = errors(together(worlds[8], branch))
    print(branch, got, allowed)
    assert all(a <= 1.1 * b for a, b in zip(got, allowed, strict=True))


@pytest.mark.parametrize("branch", ["selected", "window"])
def test_the_number_of_ranks_moves_no_bit(worlds: dict[int, list[Run]], branch: str) -> None:
    for runs in worlds.values():
        for got, want in zip(together(runs, branch), together(worlds[1], branch), strict=True):
            assert torch.equal(got, want)

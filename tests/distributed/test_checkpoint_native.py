"""Caches of Native Sparse Attention in checkpoints: windows, and the tokens that none has yet."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from ranks import as_threads
from test_native import layer_of

from tamis.distributed import ContextGroup, DealtNativeAttention, cache_state, load_caches
from tamis.distributed.windows import WindowCache, WindowTable
from tamis.nn import Branches, NativeSparseAttention

BEFORE, AFTER = ([130, 20, 0], [3, 70, 5]), ([1, 1, 1], [40, 0, 2])


def go_on(dealt: DealtNativeAttention, table: WindowTable, cache: WindowCache) -> list[Branches]:
    """Goes back as far as it may, and on from there."""
    with pytest.raises(ValueError, match="lengths: "):
        table.truncate([60, 80, 5])  # the last tokens do not reach so far
    table.truncate([120, 80, 5])
    random = torch.Generator().manual_seed(7)
    outs = []
    for counts in AFTER:
        x = torch.randn(sum(counts), 96, generator=random).to(cache.tensors["selected_key"].dtype)
        outs.append(dealt.attend(x, counts, cache))
    return outs


def over_ranks(layer: NativeSparseAttention, path: Path, load: bool) -> list[Branches]:
    dealt = DealtNativeAttention(layer, ContextGroup(page_size=16, shards=8))
    table = dealt.make_table(sequences=3, tokens=640, rollback=16)
    cache = dealt.make_cache(table)
    if load:
        load_caches(path, table, {"layer0": cache})
        assert table.lengths == [128, 90, 5]
    else:
        random = torch.Generator().manual_seed(6)
        for counts in BEFORE:
            x = torch.randn(sum(counts), 96, generator=random).to(layer.q_proj.weight.dtype)
            dealt.attend(x, counts, cache)
        table.truncate([128, 90, 5])
        dcp.save({"caches": cache_state(table, {"layer0": cache})}, checkpoint_id=path)
    return go_on(dealt, table, cache)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_any_number_of_ranks_goes_on_with_the_same_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    layer = layer_of(dtype)
    wanted = whole(as_threads(4, over_ranks, layer, tmp_path, False))
    for world in (1, 3, 8):
        got = whole(as_threads(world, over_ranks, layer, tmp_path, True))
        for step, want in zip(got, wanted, strict=True):
            for branch, expected in zip(step, want, strict=True):
                assert torch.equal(branch, expected), world


def whole(runs: list[list[Branches]]) -> list[list[torch.Tensor]]:
    """All heads of every branch, and the blocks."""
    found = []
    for of_step in zip(*runs, strict=True):
        branches = list(zip(*of_step, strict=True))
        heads = [torch.cat(parts, 1) for parts in branches[:3]]
        found.append([*heads, branches[3][0]])
    return found

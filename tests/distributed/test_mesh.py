"""Keys over one dimension of a device mesh, heads over the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ranks import as_processes
from test_deepseek import STEPS, hidden, layer_of
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from tamis.distributed import (
    ContextGroup,
    DealtSparseAttention,
    RemoteError,
    split_heads,
    unzigzag,
    zigzag,
)
from tamis.nn import DeepSeekSparseAttention, Flavour


def over_mesh(
    layers: list[DeepSeekSparseAttention], ranks: int, prefill: int
) -> list[list[Tensor]]:
    """Hidden states of every step and layer, the first `prefill` steps by shares."""
    mesh = init_device_mesh("cpu", (ranks, 2), mesh_dim_names=("cp", "tp"))
    group = ContextGroup(mesh["cp"], shards=4, page_size=16)
    tensor = ContextGroup(mesh["tp"])
    found = []
    for layer in layers:
        part = split_heads(layer, tensor.rank, tensor.world)
        assert part.w_uk.shape[0] == layer.w_uk.shape[0] // 2
        dealt = DealtSparseAttention(part, group, tensor)
        cache = dealt.make_cache(dealt.make_table(sequences=3, tokens=640))
        outs = []
        for i, (x, counts) in enumerate(zip(hidden(layer.w_uk.dtype), STEPS, strict=True)):
            if i < prefill:
                own = zigzag(counts, group.rank, group.world)
                outs.append(dealt.prefill(x[own], counts, cache))
            else:
                outs.append(dealt(x, counts, cache))
            if i == 2:  # what fails on one rank is said on all, and the next step is right
                wrong = x.double() if (group.rank, tensor.rank) == (0, 1) else x
                with pytest.raises(RemoteError, match=r"rank \d: "):
                    dealt(wrong, counts, cache)
        found.append(outs)
    return found


def with_everything() -> DeepSeekSparseAttention:
    """A layer that has what families add to heads."""
    torch.manual_seed(5)
    flavour = Flavour(bias=True, sinks=True, gate="channels", scaled_queries=True)
    layer = DeepSeekSparseAttention(
        hidden=96, heads=16, q_lora_rank=48, kv_lora_rank=64, rope_dim=16, nope_dim=16, v_dim=16,
        index_heads=4, index_dim=32, topk=48, dtype=torch.float32, flavour=flavour,
    )  # fmt: skip
    for name in ("sinks", "bias_o", "bias_dq", "query_scale", "index_query_scale"):
        torch.nn.init.normal_(getattr(layer, name), mean=1.0)
    return layer


@pytest.mark.parametrize("ranks", [1, 2])
def test_heads_and_keys_are_shared(ranks: int) -> None:
    layers = [layer_of(torch.bfloat16), with_everything()]
    results: list[Any] = as_processes(2 * ranks, over_mesh, layers, ranks, 1)
    for layer, outs in zip(layers, zip(*results, strict=True), strict=True):
        cache = layer.make_cache(sequences=3, pages=40, page_size=16)
        wide = layer.w_uk.dtype == torch.float32
        near = {"atol": 2e-5, "rtol": 1e-5} if wide else {"atol": 2e-2, "rtol": 2e-2}
        for i, (x, counts) in enumerate(zip(hidden(layer.w_uk.dtype), STEPS, strict=True)):
            want = layer(x, counts, cache)
            by_rank = [out[i] for out in outs]
            if i == 0:
                by_rank = [unzigzag(by_rank[place::2], counts) for place in (0, 1)]
            for got in by_rank:
                assert torch.allclose(got, want, **near)
                assert torch.equal(got, by_rank[0])

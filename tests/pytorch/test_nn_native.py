"""NativeSparseAttention: every branch against its formula, gates, and steps of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import test_nn_compressed
import torch
from test_nn_compressed import LENGTHS, STEPS, assert_near
from torch import Tensor

from tamis.nn import Branches, NativeSparseAttention, PagedCache, PageTable
from tamis.nn.rope import rotate, turn

SMALL: dict[str, Any] = test_nn_compressed.SMALL | {
    "hidden": 96,
    "select_block_size": 32,
    "window_size": 40,
    "rope_dim": 16,
}
DTYPES = test_nn_compressed.DTYPES


def new_layer(dtype: torch.dtype = torch.bfloat16, **changed: Any) -> NativeSparseAttention:
    layer = NativeSparseAttention(**SMALL | changed, dtype=dtype)
    for weight in layer.compressed.parameters():
        weight.copy_(torch.randn(weight.shape) / 6)
    return layer


def new_cache(layer: NativeSparseAttention) -> PagedCache:
    return layer.make_cache(sequences=2, pages=12, page_size=32)


def hidden(dtype: torch.dtype, lengths: list[int] = LENGTHS) -> list[Tensor]:
    return [torch.randn(n, 96).to(dtype) for n in lengths]


def attend(
    layer: NativeSparseAttention, parts: Sequence[Tensor], counts: Any, cache: PagedCache
) -> Branches:
    query, key, value = parts
    return layer.attend(query, key, value, counts, cache)


def turned(layer: NativeSparseAttention, x: Tensor) -> Tensor:
    """Positions from 0 on."""
    rope, positions = layer.rope, torch.arange(len(x))
    return rotate(x, *turn(positions, rope.frequencies, rope.attention_factor, torch.float32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_positions_turn_pairs_of_channels(dtype: torch.dtype) -> None:
    torch.manual_seed(7)
    layer, x = new_layer(dtype), torch.randn(90, 2, 48).to(dtype)
    angles = torch.arange(90).double()[:, None] * layer.rope.frequencies
    pairs = torch.complex(x[..., :8].double(), x[..., 8:16].double())
    pairs = pairs * torch.polar(torch.ones_like(angles), angles)[:, None]
    want = torch.cat((pairs.real, pairs.imag, x[..., 16:].double()), -1)
    assert_near(turned(layer, x), want, dtype, 2.0**-20)


def attention(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """In float64; `seen` [T, N2, n]."""
    key, value = (t.double().repeat_interleave(4, 1) for t in (key, value))
    scores = torch.einsum("thd,nhd->thn", query.double(), key) * query.shape[-1] ** -0.5
    p = scores.masked_fill(~seen.repeat_interleave(4, 1), -torch.inf).softmax(-1)
    return torch.einsum("thn,nhd->thd", p, value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_branches_follow_their_formulas(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer = new_layer(dtype)
    parts = [layer.project(x) for x in hidden(dtype)]
    packed = [torch.cat(kind) for kind in zip(*parts, strict=True)]
    found = attend(layer, packed, LENGTHS, new_cache(layer))
    begin = 0
    for query, key, value in parts:
        n = len(query)
        got = Branches(*(t[begin : begin + n] for t in found))
        begin += n
        part = query, key[:, 0], value[:, 0]
        storage = test_nn_compressed.storage_error(layer.compressed, [part])
        assert_near(
            got.compressed, test_nn_compressed.formula(layer.compressed, part)[0], dtype, storage
        )
        t, position = torch.arange(n)[:, None, None], torch.arange(n)
        listed = (got.blocks[..., None] == position // 32).any(2)  # [T, N2, n]
        query, storage = turned(layer, query), 2.0**-16 + float(value.abs().max()) * n / 32767
        selected = attention(query, turned(layer, key[:, 1]), value[:, 1], listed & (position <= t))
        assert_near(got.selected, selected, dtype, storage)
        near = (position <= t) & (position > t - 40)
        window = attention(query, turned(layer, key[:, 2]), value[:, 2], near.expand(-1, 2, -1))
        assert_near(got.window, window, dtype)


def test_gates_weigh_the_branches_by_head() -> None:
    torch.manual_seed(2)
    layer = new_layer(torch.float32)
    x = torch.cat(hidden(torch.float32))
    out = layer(x, LENGTHS, new_cache(layer))
    branches = layer.attend(*layer.project(x), LENGTHS, new_cache(layer))
    gates = torch.sigmoid(layer.g_proj(x)).reshape(-1, 8, 3)
    mixed = torch.stack(branches[:3], 2)
    want = layer.o_proj(torch.einsum("thb,thbd->thd", gates, mixed).flatten(1))
    assert torch.allclose(out, want, rtol=1e-5, atol=1e-6)


def test_gates_and_windows_start_as_training_wants_them() -> None:
    layer = NativeSparseAttention(**SMALL)
    gates = torch.sigmoid(layer.g_proj(torch.zeros(1, 96).bfloat16())).reshape(8, 3)
    want = torch.sigmoid(torch.tensor([0.0, 2.0, -1.0]))
    assert torch.allclose(gates.float(), want.expand(8, 3), atol=2.0**-8)
    assert (layer.compressed.key_weight == 1 / 32).all()
    assert (layer.compressed.value_weight == 1 / 32).all()
    assert not any(p.requires_grad for p in layer.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", STEPS)
def test_steps_give_the_bits_of_one_prefill(
    steps: list[tuple[int, int]], dtype: torch.dtype
) -> None:
    torch.manual_seed(3)
    layer = new_layer(dtype)
    parts = [layer.project(x) for x in hidden(dtype)]
    packed = [torch.cat(kind) for kind in zip(*parts, strict=True)]
    whole = attend(layer, packed, LENGTHS, new_cache(layer))
    cache, begins = new_cache(layer), [0, 0]
    found: list[list[list[Tensor]]] = [[[] for _ in Branches._fields] for _ in LENGTHS]
    for counts in steps:
        ends = [begin + n for begin, n in zip(begins, counts, strict=True)]
        new = [
            torch.cat([kind[b:e] for kind, b, e in zip(kinds, begins, ends, strict=True)])
            for kinds in zip(*parts, strict=True)
        ]
        for i, out in enumerate(attend(layer, new, counts, cache)):
            for b, rows in enumerate(torch.split(out, list(counts))):
                found[b][i].append(rows)
        begins = ends
    for i, want in enumerate(whole):
        assert torch.equal(torch.cat([*found[0][i], *found[1][i]]), want)


def test_forward_in_steps_is_near_one_prefill() -> None:
    torch.manual_seed(4)
    layer = new_layer(torch.float32)
    x = hidden(torch.float32, [150])[0]
    cache, whole = (layer.make_cache(sequences=1, pages=5, page_size=32) for _ in range(2))
    want = layer(x, [150], whole)
    found = [layer(x[:100], [100], cache), layer(x[100:149], [49], cache)]
    found.append(layer(x[149:], [1], cache))
    assert torch.allclose(torch.cat(found), want, rtol=1e-4, atol=1e-5)


def test_a_freed_or_truncated_sequence_goes_on_as_if_it_had_never_been_longer() -> None:
    torch.manual_seed(5)
    layer = new_layer()
    parts = layer.project(hidden(torch.bfloat16)[0])
    cache, other = new_cache(layer), new_cache(layer)
    want = layer.attend(*parts, [200, 0], other)
    layer.attend(*parts, [200, 0], cache)
    for kept in (199, 140, 33, 0):
        cache.truncate([kept, 0])
        again = attend(layer, [kind[kept:] for kind in parts], [200 - kept, 0], cache)
        assert all(torch.equal(one, two[kept:]) for one, two in zip(again, want, strict=True))
    cache.free(0)
    assert cache.table.unused == 12


def test_layers_share_a_table() -> None:
    torch.manual_seed(6)
    layers = [new_layer() for _ in range(2)]
    table = PageTable(sequences=2, pages=12, page_size=32)
    shared = [layer.make_cache(table) for layer in layers]
    own = [new_cache(layer) for layer in layers]
    for counts in ([70, 20], [1, 3]):
        x = torch.randn(sum(counts), 96).bfloat16()
        step = layers[0].step(counts, table)
        for layer, one, two in zip(layers, shared, own, strict=True):
            assert torch.equal(layer(x, step, one), layer(x, counts, two))
    with pytest.raises(ValueError, match="counts: expected what step\\(\\) made of them"):
        layers[0](x, [1, 3], shared[0])


def test_bad_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="rope_dim: expected an even number up to 48, got 50"):
        NativeSparseAttention(**SMALL | {"rope_dim": 50})
    layer = new_layer()
    cache = new_cache(layer)
    with pytest.raises(ValueError, match="x: expected 2 rows, as counts, got 3"):
        layer(torch.zeros(3, 96).bfloat16(), [1, 1], cache)
    assert cache.lengths == [0, 0]


def test_rope_of_no_channels_turns_nothing() -> None:
    x = torch.randn(3, 2, 8)
    none = torch.empty(3, 0)
    assert torch.equal(rotate(x, none, none), x)

"""NativeCompressedAttention: against its formula, and in steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tamis.nn import NativeCompressedAttention

SMALL: dict[str, Any] = {
    "heads": 8,
    "kv_heads": 2,
    "qk_dim": 48,
    "v_dim": 32,
    "select_block_count": 4,
}
LENGTHS = [200, 75]
DTYPES = [torch.bfloat16, torch.float16]


def new_layer(dtype: torch.dtype) -> NativeCompressedAttention:
    layer = NativeCompressedAttention(**SMALL, dtype=dtype)
    for weight in layer.parameters():
        weight.copy_(torch.randn(weight.shape) / 6)
    return layer


def tokens(dtype: torch.dtype) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [
        (
            torch.randn(n, 8, 48).to(dtype),
            torch.randn(n, 2, 48).to(dtype),
            torch.randn(n, 2, 32).to(dtype),
        )
        for n in LENGTHS
    ]


def new_cache(layer: NativeCompressedAttention) -> Any:
    return layer.make_cache(sequences=2, pages=12, page_size=4)


def pack(parts: list[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
    return [torch.cat(kind) for kind in zip(*parts, strict=True)]


def windows(x: Tensor, weight: Tensor) -> Tensor:
    """Compressed by unfold, rounded, as float64."""
    sums = torch.einsum("nhcw,wh->nhc", x.unfold(0, 32, 16).double(), weight.double())
    return sums.to(x.dtype).double()


def formula(layer: NativeCompressedAttention, part: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """One sequence, float64: windows, then a causal softmax over them."""
    query, key, value = part
    compressed = [
        windows(x, weight).repeat_interleave(4, dim=1)
        for x, weight in ((key, layer.key_weight), (value, layer.value_weight))
    ]
    scores = torch.einsum("thd,nhd->htn", query.double(), compressed[0]) * 48**-0.5
    ends = torch.arange(len(compressed[0])) * 16 + 31
    hidden = ends > torch.arange(len(query))[:, None]
    p = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1).nan_to_num(0)
    return torch.einsum("htn,nhd->thd", p, compressed[1])


def assert_near(got: Tensor, want: Tensor, dtype: torch.dtype, storage: float = 2.0**-16) -> None:
    """Each rounded once, after sums in fp32 of terms below 8."""
    reach = torch.finfo(dtype).eps * want.double().abs() + storage
    assert ((got.double() - want.double()).abs() <= reach).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_prefill_follows_the_formula(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer, parts = new_layer(dtype), tokens(dtype)
    out, blocks = layer(*pack(parts), LENGTHS, new_cache(layer))
    # 11 windows: accuracy "storage" errs by at most 11 steps, a 32767th of the largest value each.
    most = max(float(windows(value, layer.value_weight).abs().max()) for *_, value in parts)
    storage = 2.0**-16 + most * (2.0**-15 + 11 / 32767)
    assert_near(out, torch.cat([formula(layer, part) for part in parts]), dtype, storage)
    assert (out[:31] == 0).all()
    assert (out[31] != 0).any()
    # The first block, a token's own and the one before are selected, best first, if candidates.
    for t in range(200):
        forced = {0, t // 64 - 1, t // 64} & {0, 1, 2}  # 11 windows, 4 of them per block
        assert set(blocks[t, 0, : len(forced)].tolist()) == forced


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(150, 20), (30, 50), (20, 5)], id="chunks"),
        pytest.param([(190, 70), (4, 1), (1, 0), (3, 2), (2, 2)], id="steps of 1 to 4 tokens"),
        pytest.param([(196, 0), *[(1, 0)] * 4, (0, 75)], id="one after the other"),
    ],
)
def test_prefill_then_decode_equals_one_prefill(
    steps: list[tuple[int, int]], dtype: torch.dtype
) -> None:
    torch.manual_seed(2)
    layer, parts = new_layer(dtype), tokens(dtype)
    whole = new_cache(layer)
    want, _ = layer(*pack(parts), LENGTHS, whole)
    cache, begins = new_cache(layer), [0, 0]
    found: list[list[Tensor]] = [[], []]
    for counts in steps:
        ends = [begin + n for begin, n in zip(begins, counts, strict=True)]
        new = [
            (query[begin:end], key[begin:end], value[begin:end])
            for (query, key, value), begin, end in zip(parts, begins, ends, strict=True)
        ]
        out, blocks = layer(*pack(new), counts, cache)
        assert blocks.shape == (sum(counts), 2, 4)
        for b, rows in enumerate(torch.split(out, list(counts))):
            found[b].append(rows)
        begins = ends
    assert_near(torch.cat([*found[0], *found[1]]), want, dtype)
    # The same windows in the cache, bit for bit, whoever computed them.
    assert cache.windows.lengths == whole.windows.lengths == [11, 3]
    for name, pages in cache.windows.tensors.items():
        other = whole.windows.tensors[name]
        for b, n in enumerate(cache.windows.lengths):
            one, two = (
                pool[c.windows.block_table()[b].clamp(min=0)].flatten(0, 1)[:n]
                for pool, c in ((pages, cache), (other, whole))
            )
            assert torch.equal(one, two)


def test_only_raw_tokens_that_windows_to_come_need_are_kept() -> None:
    torch.manual_seed(3)
    layer, parts = new_layer(torch.bfloat16), tokens(torch.bfloat16)
    cache = new_cache(layer)
    layer(*pack(parts), LENGTHS, cache)
    assert [len(tail) for tail in cache.key_tails] == [200 - 11 * 16, 75 - 3 * 16]
    assert torch.equal(cache.value_tails[1], parts[1][2][48:])


def test_a_pool_that_is_too_small_leaves_the_cache_as_it_was() -> None:
    torch.manual_seed(4)
    layer, parts = new_layer(torch.bfloat16), tokens(torch.bfloat16)
    cache = layer.make_cache(sequences=2, pages=2, page_size=4)
    with pytest.raises(MemoryError, match="counts: expected at most 2 new pages, got 4"):
        layer(*pack(parts), LENGTHS, cache)
    assert cache.lengths == cache.windows.lengths == [0, 0]
    assert not any(map(len, cache.key_tails))
    layer(*(kind[:40] for kind in parts[0]), [40, 0], cache)
    tails = [tail.clone() for tail in (*cache.key_tails, *cache.value_tails)]
    with pytest.raises(ValueError, match="query: expected shape"):
        layer(parts[0][0][:9, :, 1:], parts[0][1][:9], parts[0][2][:9], [9, 0], cache)
    assert (cache.lengths, cache.windows.lengths) == ([40, 0], [1, 0])
    assert all(map(torch.equal, tails, (*cache.key_tails, *cache.value_tails)))
    with pytest.raises(ValueError, match="key: expected 1 rows, as counts, got 2"):
        layer(*(kind[:n] for kind, n in zip(parts[0], (1, 2, 1), strict=True)), [1, 0], cache)


def test_sequences_shorter_than_a_window_attend_to_nothing() -> None:
    torch.manual_seed(5)
    layer, parts = new_layer(torch.bfloat16), tokens(torch.bfloat16)
    cache = new_cache(layer)
    for begin, end in ((0, 0), (0, 20), (20, 21), (21, 31)):
        new = [(q[begin:end], k[begin:end], v[begin:end]) for q, k, v in parts]
        out, blocks = layer(*pack(new), [end - begin] * 2, cache)
        assert out.shape == (2 * (end - begin), 8, 32)
        assert not out.any()
        assert (blocks == -1).all()
    out, blocks = layer(*(kind[31:32] for kind in parts[0]), [1, 0], cache)
    assert (out != 0).any()
    assert blocks[0, 0].tolist() == [0, -1, -1, -1]


def test_a_freed_sequence_starts_anew() -> None:
    torch.manual_seed(6)
    layer, parts = new_layer(torch.bfloat16), tokens(torch.bfloat16)
    cache = new_cache(layer)
    layer(*pack(parts), LENGTHS, cache)
    cache.free(0)
    assert cache.lengths == [0, 75]
    assert cache.windows.lengths == [0, 3]
    again, _ = layer(*parts[0], [200, 0], cache)
    want, _ = layer(*parts[0], [200, 0], new_cache(layer))
    assert_near(again, want, torch.bfloat16)

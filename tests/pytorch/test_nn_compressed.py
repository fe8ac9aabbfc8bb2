"""NativeCompressedAttention: against its formula, and in steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tamis.nn import NativeCompressedAttention, PagedCache, PageTable

SMALL: dict[str, Any] = {
    "heads": 8,
    "kv_heads": 2,
    "qk_dim": 48,
    "v_dim": 32,
    "select_block_count": 4,
}
LENGTHS = [200, 75]
DTYPES = [torch.bfloat16, torch.float16, torch.float32]
Tokens = tuple[Tensor, Tensor, Tensor]  # query, key, value


def new_layer(dtype: torch.dtype = torch.bfloat16, **changed: Any) -> NativeCompressedAttention:
    layer = NativeCompressedAttention(**SMALL | changed, dtype=dtype)
    for weight in layer.parameters():
        weight.copy_(torch.randn(weight.shape) / 6)
    return layer


def tokens(dtype: torch.dtype = torch.bfloat16) -> list[Tokens]:
    return [
        (
            torch.randn(n, 8, 48).to(dtype),
            torch.randn(n, 2, 48).to(dtype),
            torch.randn(n, 2, 32).to(dtype),
        )
        for n in LENGTHS
    ]


def new_cache(layer: NativeCompressedAttention) -> PagedCache:
    return layer.make_cache(sequences=2, pages=12, page_size=32)


def pack(parts: list[Tokens]) -> list[Tensor]:
    return [torch.cat(kind) for kind in zip(*parts, strict=True)]


def windows(x: Tensor, weight: Tensor) -> Tensor:
    """Compressed by unfold, rounded, as float64."""
    sums = torch.einsum("nhcw,wh->nhc", x.unfold(0, 32, 16).double(), weight.double())
    return sums.to(x.dtype).double()


def formula(layer: NativeCompressedAttention, part: Tokens) -> tuple[Tensor, Tensor]:
    """One sequence, float64: windows, then a causal softmax over them; and its probabilities."""
    query, key, value = part
    compressed = [
        windows(x, weight).repeat_interleave(4, dim=1)
        for x, weight in ((key, layer.key_weight), (value, layer.value_weight))
    ]
    scores = torch.einsum("thd,nhd->htn", query.double(), compressed[0]) * 48**-0.5
    ends = torch.arange(len(compressed[0])) * 16 + 31
    hidden = ends > torch.arange(len(query))[:, None]
    p = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1).nan_to_num(0)
    return torch.einsum("htn,nhd->thd", p, compressed[1]), p


def assert_near(got: Tensor, want: Tensor, dtype: torch.dtype, storage: float = 2.0**-16) -> None:
    """Each rounded once, after sums in fp32 of terms below 8."""
    reach = torch.finfo(dtype).eps * want.double().abs() + storage
    assert ((got.double() - want.double()).abs() <= reach).all()


def storage_error(layer: NativeCompressedAttention, parts: list[Tokens]) -> float:
    """Of 11 windows: at most 11 steps, each a 32767th of the largest value."""
    most = max(float(windows(value, layer.value_weight).abs().max()) for *_, value in parts)
    return 2.0**-16 + most * (2.0**-15 + 11 / 32767)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_prefill_follows_the_formula(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer, parts = new_layer(dtype), tokens(dtype)
    out, _ = layer(*pack(parts), LENGTHS, new_cache(layer))
    want = torch.cat([formula(layer, part)[0] for part in parts])
    assert_near(out, want, dtype, storage_error(layer, parts))
    assert (out[:31] == 0).all()
    assert (out[31] != 0).any()


@pytest.mark.parametrize("importance", ["exact_overlap", "cann"])
def test_blocks_are_the_forced_ones_and_then_the_most_important(importance: str) -> None:
    torch.manual_seed(7)
    layer = new_layer(
        torch.float32, importance=importance, select_block_size=32, select_block_count=5
    )
    parts = tokens(torch.float32)
    _, blocks = layer(*pack(parts), LENGTHS, new_cache(layer))
    shift = 1 if importance == "exact_overlap" else 0
    for begin, part in ((0, parts[0]), (LENGTHS[0], parts[1])):
        p = formula(layer, part)[1].unflatten(0, (2, 4)).sum(1)  # [N2, T, n]
        padded = torch.nn.functional.pad(p, (4, 4))
        for t in range(len(part[0])):
            own = t // 32
            for g in range(2):
                score = [
                    sum(
                        float(padded[g, t, min(2 * (j + 1) - shift - m - w, p.shape[2]) + 4])
                        for m in range(2)
                        for w in range(2)
                    )
                    for j in range(own + 1)
                ]
                forced = sorted({0, max(own - 1, 0), own})
                rest = sorted(set(range(own + 1)) - set(forced), key=lambda j: -score[j])
                want = (forced + rest)[:5]
                found = blocks[begin + t, g].tolist()
                assert found[len(want) :] == [-1] * (5 - len(want))
                if found[: len(want)] != want:  # scores that differ by rounding alone
                    pairs = zip(found, want, strict=False)
                    assert all(abs(score[i] - score[j]) < 1e-5 for i, j in pairs)


STEPS = [
    pytest.param([(150, 20), (30, 50), (20, 5)], id="chunks"),
    pytest.param([(190, 70), (4, 1), (1, 0), (3, 2), (2, 2)], id="steps of 1 to 4 tokens"),
    pytest.param([(196, 0), *[(1, 0)] * 4, (0, 75)], id="one after the other"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", STEPS)
def test_steps_give_the_bits_of_one_prefill(
    steps: list[tuple[int, int]], dtype: torch.dtype
) -> None:
    torch.manual_seed(2)
    layer, parts = new_layer(dtype), tokens(dtype)
    whole = layer(*pack(parts), LENGTHS, new_cache(layer))
    cache, begins = new_cache(layer), [0, 0]
    found: list[list[tuple[Tensor, Tensor]]] = [[], []]
    for counts in steps:
        ends = [begin + n for begin, n in zip(begins, counts, strict=True)]
        new = [
            (query[begin:end], key[begin:end], value[begin:end])
            for (query, key, value), begin, end in zip(parts, begins, ends, strict=True)
        ]
        out = layer(*pack(new), counts, cache)
        for b, rows in enumerate(zip(*(torch.split(t, list(counts)) for t in out), strict=True)):
            found[b].append(rows)
        begins = ends
    for got, want in zip(zip(*found[0], *found[1], strict=True), whole, strict=True):
        assert torch.equal(torch.cat(got), want)


def test_windows_lie_in_the_pages_of_their_tokens() -> None:
    torch.manual_seed(3)
    layer, parts = new_layer(), tokens()
    cache = new_cache(layer)
    layer(*pack(parts), LENGTHS, cache)
    for b, (_, key, value) in enumerate(parts):
        pages = cache.block_table()[b, : -(-LENGTHS[b] // 32)]
        for name, x, weight in (
            ("key", key, layer.key_weight),
            ("value", value, layer.value_weight),
        ):
            want = windows(x, weight)
            held = cache.tensors[f"{name}_windows"][pages].flatten(0, 1)
            assert_near(held[: len(want)], want, torch.bfloat16)
            assert torch.equal(cache.tensors[name][pages].flatten(0, 1)[: len(x)], x)


def test_a_page_that_holds_no_whole_number_of_windows_is_refused() -> None:
    layer = new_layer()
    message = "page_size: expected a multiple of 16, the stride of key_windows, got 24"
    with pytest.raises(ValueError, match=message):
        layer.make_cache(PageTable(sequences=1, pages=2, page_size=24))


def test_a_call_that_is_refused_leaves_the_cache_as_it_was() -> None:
    torch.manual_seed(4)
    layer, parts = new_layer(), tokens()
    cache = layer.make_cache(sequences=2, pages=2, page_size=32)
    with pytest.raises(MemoryError, match="counts: expected at most 2 new pages, got 10"):
        layer(*pack(parts), LENGTHS, cache)
    assert cache.lengths == [0, 0]
    first = [kind[:40] for kind in parts[0]]
    layer(*first, [40, 0], cache)
    new = [kind[40:49] for kind in parts[0]]
    with pytest.raises(ValueError, match=r"key: expected torch.bfloat16 of shape \[9, 2, 48\]"):
        layer(new[0], new[1][:8], new[2], [9, 0], cache)
    with pytest.raises(ValueError, match="query: expected shape"):
        layer(new[0][..., 1:], *new[1:], [9, 0], cache)
    with pytest.raises(ValueError, match="query: expected 8 rows, as counts, got 9"):
        layer(*new, [8, 0], cache)
    assert cache.lengths == [40, 0]
    other = layer.make_cache(sequences=2, pages=2, page_size=32)
    layer(*first, [40, 0], other)
    found, want = layer(*new, [9, 0], cache), layer(*new, [9, 0], other)
    assert all(map(torch.equal, found, want))


def test_sequences_shorter_than_a_window_attend_to_nothing() -> None:
    torch.manual_seed(5)
    layer, parts = new_layer(), tokens()
    cache = new_cache(layer)
    for begin, end in ((0, 0), (0, 20), (20, 21), (21, 31)):
        new = [(q[begin:end], k[begin:end], v[begin:end]) for q, k, v in parts]
        out, blocks = layer(*pack(new), [end - begin] * 2, cache)
        assert out.shape == (2 * (end - begin), 8, 32)
        assert not out.any()
        assert (blocks == torch.tensor([0, -1, -1, -1])).all()  # the own block is the first
    out, blocks = layer(*(kind[31:32] for kind in parts[0]), [1, 0], cache)
    assert (out != 0).any()
    assert blocks[0, 0].tolist() == [0, -1, -1, -1]


def test_a_freed_or_truncated_sequence_goes_on_as_if_it_had_never_been_longer() -> None:
    torch.manual_seed(6)
    layer, parts = new_layer(), tokens()
    cache, other = new_cache(layer), new_cache(layer)
    want = layer(*pack(parts), LENGTHS, other)
    layer(*pack(parts), LENGTHS, cache)
    cache.free(0)
    assert cache.lengths == [0, 75]
    again = layer(*parts[0], [200, 0], cache)
    assert all(torch.equal(one, two[:200]) for one, two in zip(again, want, strict=True))
    for kept in (199, 190, 65, 16, 1):
        cache.truncate([kept, 75])
        again = layer(*(kind[kept:] for kind in parts[0]), [200 - kept, 0], cache)
        assert all(torch.equal(one, two[kept:200]) for one, two in zip(again, want, strict=True))
